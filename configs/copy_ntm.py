from ntm_jax.config import default


def get_config():
    return default("copy", "ntm")
