"""The tests of this folder are about ipywidgets 7, which Colab has: with another one they are not collected."""
import importlib.metadata

if not importlib.metadata.version("ipywidgets").startswith("7."):
    collect_ignore = ["test_colab.py"]
