"""Embeddings of training examples in two dimensions, one for each layer and saved epoch, aligned over epochs."""

#: Raised by hand when a change alters the rows of every method.
VERSION = 1

#: Version of each method: raised by hand when a change alters its rows.
VERSIONS = {"umap": 1, "pca": 1, "tsne": 1}
