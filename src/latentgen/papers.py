"""Papers that figures have counterparts in."""

KETHA = (
    'Ketha & Ramaswamy, "On the Dynamics & Transferability of Latent Generalization during Memorization", TMLR 2026 '
    "(arXiv 2603.19865)"
)
STEPHENSON = (
    'Stephenson et al., "On the geometry of generalization and memorization in deep neural networks", ICLR 2021 '
    "(arXiv 2105.14602)"
)
