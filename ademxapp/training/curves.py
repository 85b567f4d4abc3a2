"""Learning curves."""
from typing import Any, Dict, List

from ademxapp.files import replacing

_PANELS = (("loss", "loss"), ("accuracy", "accuracy"), ("lr", "learning rate"))


def plot_curves(reports: List[Dict[str, Any]], validations: List[Dict[str, Any]], path: str, batches: int) -> None:
    """Draw loss, accuracy, learning rate and, where there are any, validation scores over epochs, as a PNG.

    `reports` are those of training, `batches` to an epoch; `validations` have an epoch and scores (list of dict both).
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # here: it takes a second to import
    from matplotlib.figure import Figure

    panels = len(_PANELS) + bool(validations)
    width = 4 * panels
    figure = Figure(figsize=(width, 3.2))
    FigureCanvasAgg(figure)
    figure.subplots_adjust(0.55 / width, 0.15, 1 - 0.2 / width, 0.9, wspace=0.25)  # a layout that fits doubles the time
    epochs = [report["epoch"] - 1 + report["batch"] / batches for report in reports]
    for place, (name, title) in enumerate(_PANELS, 1):
        axes = _axes(figure, panels, place, title)
        axes.plot(epochs, [float("nan") if report[name] is None else report[name] for report in reports], linewidth=1.2)
    if validations:
        axes = _axes(figure, panels, panels, "validation")
        for name in validations[0]:
            if name not in ("epoch", "seconds"):
                axes.plot([row["epoch"] for row in validations], [row[name] for row in validations], marker=".",
                          linewidth=1.2, label=name.replace("_", " "))
        axes.legend(fontsize="small")
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=90, format="png")


def _axes(figure: Any, panels: int, place: int, title: str) -> Any:  # Matplotlib's, which is imported late
    axes = figure.add_subplot(1, panels, place)
    axes.set_xlabel("epoch")
    axes.set_title(title)
    axes.grid(alpha=0.3)
    return axes
