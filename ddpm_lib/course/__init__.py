"""What belongs to the lessons and not to the mathematics: figures to move, exercises, the first cell."""
from .exercise import REGISTRY, check, exercise, hint, show_solution, solution_source
from .explore import LiveLoss, fig_frames, frame_slider, live_slider, picture_from_bytes, show, upload_picture
from .progress import progress
from .setup import in_colab, setup

__all__ = ["REGISTRY", "LiveLoss", "check", "exercise", "fig_frames", "frame_slider", "hint", "in_colab", "live_slider",
           "picture_from_bytes", "progress", "setup", "show", "show_solution", "solution_source", "upload_picture"]
