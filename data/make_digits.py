"""Make data/digits.npz: 1,797 handwritten digits, 8x8, ink from 0 to 16, as scikit-learn ships them.

    python data/make_digits.py            (needs scikit-learn, see requirements-dev.txt)

Source: UCI Machine Learning Repository, Optical Recognition of Handwritten Digits, E. Alpaydin and C. Kaynak (1998),
doi 10.24432/C50P49, CC BY 4.0; scikit-learn ships the test part of it.
"""
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits


def main():
    digits = load_digits()
    path = Path(__file__).with_name("digits.npz")
    np.savez_compressed(path, pixels=digits.images.astype(np.uint8), labels=digits.target.astype(np.uint8))
    print(f"{path.name}: {len(digits.images)} pictures, {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
