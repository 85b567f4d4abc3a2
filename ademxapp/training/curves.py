"""Learning curves."""
from ademxapp.files import replacing

_PANELS = (("loss", "loss"), ("accuracy", "accuracy"), ("lr", "learning rate"))


def plot_curves(reports, path, batches):
    """Draw loss, accuracy and learning rate over epochs, from training reports, as a PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # here: it takes a second to import
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 3.2), tight_layout=True)
    FigureCanvasAgg(figure)
    epochs = [report["epoch"] - 1 + report["batch"] / batches for report in reports]
    for place, (name, title) in enumerate(_PANELS, 1):
        axes = figure.add_subplot(1, len(_PANELS), place)
        axes.plot(epochs, [float("nan") if report[name] is None else report[name] for report in reports], linewidth=1.2)
        axes.set_xlabel("epoch")
        axes.set_title(title)
        axes.grid(alpha=0.3)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=90, format="png")
