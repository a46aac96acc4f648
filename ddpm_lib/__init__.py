"""ddpm_lib: the small library that the chapters of "Diffusion from scratch" build. One chapter, one module.

Import what you need from its module, `from ddpm_lib.ddpm import q_sample`; nothing heavy is loaded here.
"""

__version__ = "0.1.0"
