"""A crop's derivation in words, for a reader with pencil and paper: see `minifcn.explain.crops`."""

from fractions import Fraction

from .crops import Derivation, Step, formula

RULES = """\
Number the rows of every map from 0. A layer sends row r of its input to
  window of extent e, stride s, padding p      (r + p - (e - 1)/2) / s    where the window's centre lies
  block of extent e (transposed), stride s     s*r + (e - 1)/2 - p        the centre of the block that it becomes
  crop at o                                    r - o
Layers that work number by number, like ReLU, leave it alone and are not listed."""


def told(rows: Derivation, columns: Derivation) -> str:
    """Several lines: the steps to each of the two maps, the offset, the sizes, and what a centre crop would do.

    Columns are told apart only where their steps are others.
    """
    alike = _maps(rows) == _maps(columns)
    parts = [_steps_and_offset([rows, columns])] if alike else [_steps_and_offset([d]) for d in (rows, columns)]
    square = alike and (rows.size, rows.wanted) == (columns.size, columns.wanted)
    parts += [_sizes(rows, "rows and columns", "up and to the left")] if square else [
        _sizes(rows, "rows", "up"), _sizes(columns, "columns", "to the left")]
    title = f"{rows.value} is cropped to {rows.reference}"
    return "\n\n".join([title, *("\n".join(f"  {line}".rstrip() for line in lines) for lines in parts)])


def _maps(d: Derivation) -> tuple[object, ...]:
    """What the two axes of a crop have in common, if they do."""
    return d.offset, *((step.layer, step.own) for step in (*d.value_steps, *d.reference_steps))


def _steps_and_offset(axes: list[Derivation]) -> list[str]:
    d = axes[0]
    one = d.axis.removesuffix("s")
    lines = _steps(d.common, d.value, [each.value_steps for each in axes])
    lines += _steps(d.common, d.reference, [each.reference_steps for each in axes])
    there = [f"{one} {_formula(steps)} of {name}"
             for name, steps in ((d.value, d.value_steps), (d.reference, d.reference_steps)) if name != d.common]
    lines.append(f"So {one} r of {d.common} is {' and '.join(there)}:")
    lines.append(f"{d.value} begins {_counted(d.derived, d.axis)} before {d.reference}.")
    if d.derived == d.offset:
        lines.append(f"The offset is {d.offset}.")
    else:
        off = _counted(abs(d.derived - d.offset), d.axis)
        lines.append(f"But this network crops at {d.offset}: its scores lie {off} off.")
    return lines


def _steps(common: str, value: str, axes: list[tuple[Step, ...]]) -> list[str]:
    """A table of the layers from one value to another; the sizes of both axes if both are told at once."""
    if value == common:
        return []
    if not axes[0]:
        return [f"from {common} to {value} no layer moves a row", ""]
    table = [("layer", "", "sends r to", "so far", "size")]
    for together in zip(*axes, strict=True):
        step, size = together[0], "x".join(str(step.size) for step in together)
        table.append((step.layer, step.what, formula(step.own), formula(step.total), size))
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    rows = ["  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)) for row in table]
    return [f"from {common} to {value}:", *(f"  {row}" for row in rows), ""]


def _formula(steps: tuple[Step, ...]) -> str:
    return formula(steps[-1].total) if steps else "r"


def _counted(number: Fraction, plural: str) -> str:
    return f"{number} {plural.removesuffix('s') if number == 1 else plural}"


def _sizes(d: Derivation, axes: str, way: str) -> list[str]:
    surplus, (least, most) = d.size - d.wanted, d.surplus
    lines = [f"{axes.capitalize()}: {d.value} has {d.size}, {d.reference} {d.wanted}, a surplus of {surplus}: "
             f"{d.offset} at the front, {surplus - d.offset} at the end."]
    if least != most:
        lines.append(f"With the size of the image that surplus changes, from {least} to {most}. The offset does not.")
    right = f"it needs a surplus of {2 * d.offset} or {2 * d.offset + 1}"
    if d.shift:
        if d.shift < 0:
            way = way.replace("up", "down").replace("left", "right")
        lines.append(f"A centre crop would begin at {d.centre}: the scores shift {way} by "
                     f"{_counted(abs(d.shift), 'pixels')} of the image")
        lines.append(f"({right}).")
    elif least != most:
        lines.append(f"A centre crop would begin at {d.centre} too, which is right here by luck ({right}).")
    return lines
