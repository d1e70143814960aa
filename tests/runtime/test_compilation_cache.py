import os
import subprocess
import sys
from pathlib import Path

import jax
import pytest

PROGRAM = "from ntm_jax import compilation; compilation.use_cache(); import jax; jax.jit(abs)(1.0)"


def compile_one(home: Path, **settings: str) -> set[str]:
    """Compiles a program in a process of its own; returns the folders that then hold something."""
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith(("JAX", "XDG"))
    }
    environment = {**inherited, "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0", **settings}
    environment |= {"HOME": str(home), "PYTHONPATH": str(Path(__file__).parents[1])}
    subprocess.run([sys.executable, "-c", PROGRAM], env=environment, check=True)
    return {str(path.parent.relative_to(home)) for path in home.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("settings", "folders"),
    [
        ({}, {".cache/ntm_jax"}),
        ({"XDG_CACHE_HOME": "{home}/other"}, {"other/ntm_jax"}),
        ({"JAX_COMPILATION_CACHE_DIR": "{home}/mine"}, {"mine"}),
        ({"JAX_ENABLE_COMPILATION_CACHE": "false"}, set()),
    ],
    ids=["default", "the user's other", "JAX's own", "none"],
)
def test_what_is_compiled_is_kept_where_the_user_wants_it(tmp_path, settings, folders):
    settings = {name: value.format(home=tmp_path) for name, value in settings.items()}
    assert compile_one(tmp_path, **settings) == folders


@pytest.mark.skipif(jax.__version_info__ >= (0, 11), reason="its flags may be others")
@pytest.mark.parametrize(("own", "level"), [("", 1), ("--xla_backend_optimization_level=2", 2)])
def test_the_compiler_does_less_unless_the_user_says_otherwise(own, level):
    program = (
        "from ntm_jax import compilation; compilation.use_quick_compiler(); import jax;"
        "from jax._src import compiler; jax.jit(abs)(1.0);"
        "options = compiler.get_compile_options(1, 1).executable_build_options.debug_options;"
        "print(options.xla_backend_optimization_level)"
    )
    environment = {**os.environ, "XLA_FLAGS": own, "JAX_DISABLE_MOST_OPTIMIZATIONS": "0"}
    environment["PYTHONPATH"] = str(Path(__file__).parents[1])
    said = subprocess.check_output([sys.executable, "-c", program], env=environment)
    assert int(said) == level
