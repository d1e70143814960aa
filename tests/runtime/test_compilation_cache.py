import os
import subprocess
import sys
import warnings
from pathlib import Path

import jax
import pytest
from support.subprocess_utils import ROOT

from ntm_jax.runtime import compilation_cache

CACHE_PROGRAM = """
from ntm_jax.runtime.compilation_cache import enable_compilation_cache
enable_compilation_cache()
import jax
jax.jit(abs)(1.0)
"""
FLAGS_PROGRAM = """
from ntm_jax.runtime.compilation_cache import set_fast_compile_flags
set_fast_compile_flags()
import jax
from jax._src import compiler
jax.jit(abs)(1.0)
options = compiler.get_compile_options(1, 1).executable_build_options.debug_options
print(options.xla_backend_optimization_level)
"""


def directories_with_files(home: Path, **settings: str) -> set[str]:
    """Compiles in a subprocess with this home directory; returns where it wrote files."""
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith(("JAX", "XDG"))
    }
    environment = {**inherited, "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0", **settings}
    environment |= {"HOME": str(home), "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", CACHE_PROGRAM], env=environment, check=True)
    return {str(path.parent.relative_to(home)) for path in home.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, {".cache/ntm_jax"}),
        ({"XDG_CACHE_HOME": "{home}/other"}, {"other/ntm_jax"}),
        ({"JAX_COMPILATION_CACHE_DIR": "{home}/mine"}, {"mine"}),
        ({"JAX_ENABLE_COMPILATION_CACHE": "false"}, set()),
    ],
    ids=["default", "XDG_CACHE_HOME", "JAX_COMPILATION_CACHE_DIR", "disabled"],
)
def test_cache_directory(tmp_path, settings, expected):
    settings = {name: value.format(home=tmp_path) for name, value in settings.items()}
    assert directories_with_files(tmp_path, **settings) == expected


@pytest.fixture
def cache_settings(monkeypatch):
    """Restores what `enable_compilation_cache` sets."""
    names = ("jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs")
    previous = {name: getattr(jax.config, name) for name in names}
    jax.config.update("jax_compilation_cache_dir", None)
    monkeypatch.setattr(sys, "argv", ["/path/train.py"])
    with warnings.catch_warnings():
        yield
    for name, value in previous.items():
        jax.config.update(name, value)


@pytest.mark.usefixtures("cache_settings")
@pytest.mark.parametrize(
    ("cache_home", "message"),
    [
        (None, "Could not determine home directory"),
        ("/dev/null", "[Errno 20] Not a directory: '/dev/null/ntm_jax'"),
    ],
)
def test_no_cache_without_a_directory(monkeypatch, capsys, cache_home, message):
    def no_home():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", no_home)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    if cache_home is not None:
        monkeypatch.setenv("XDG_CACHE_HOME", cache_home)
    compilation_cache.enable_compilation_cache()
    assert not jax.config.jax_compilation_cache_dir
    expected = f"train.py: warning: no compilation cache: {message}; set XDG_CACHE_HOME\n"
    assert capsys.readouterr() == ("", expected)


@pytest.mark.skipif(jax.__version_info__ >= (0, 11), reason="no flags are set for this version")
@pytest.mark.parametrize(("flags", "level"), [("", 1), ("--xla_backend_optimization_level=2", 2)])
def test_xla_flags_take_precedence(flags, level):
    environment = {**os.environ, "XLA_FLAGS": flags, "JAX_DISABLE_MOST_OPTIMIZATIONS": "0"}
    environment["PYTHONPATH"] = str(ROOT)
    output = subprocess.check_output([sys.executable, "-c", FLAGS_PROGRAM], env=environment)
    assert int(output) == level
