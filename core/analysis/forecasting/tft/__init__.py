"""Temporal Fusion Transformer in plain PyTorch (Lim, Arık, Loeff & Pfister 2021, arXiv:1912.09363).

`module` is the network, `windows` turns series into batches, `training` fits, `saved` keeps a fitted model on disk, and
`member` is the model `tft` of the registry. Equation numbers in here are those of the paper.
"""
