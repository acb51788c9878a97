"""A name service that hangs: a library that is preloaded into the program."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

HANGING_NSS = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A look-up named by HANG_UID or HANG_NAME never answers, like a directory behind a dead link. */
int getpwuid_r(uid_t uid, struct passwd *pwd, char *buffer, size_t size, struct passwd **result) {
    int (*real)(uid_t, struct passwd *, char *, size_t, struct passwd **) =
        dlsym(RTLD_NEXT, "getpwuid_r");
    const char *hanging = getenv("HANG_UID");
    if (hanging && (uid_t)atoll(hanging) == uid)
        for (;;) pause();
    return real(uid, pwd, buffer, size, result);
}

int getpwnam_r(const char *name, struct passwd *pwd, char *buffer, size_t size,
               struct passwd **result) {
    int (*real)(const char *, struct passwd *, char *, size_t, struct passwd **) =
        dlsym(RTLD_NEXT, "getpwnam_r");
    const char *hanging = getenv("HANG_NAME");
    if (hanging && !strcmp(hanging, name))
        for (;;) pause();
    return real(name, pwd, buffer, size, result);
}
"""


@pytest.fixture(scope="session")
def hanging_nss(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library that makes chosen look-ups hang for ever."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None and os.environ.get("CI"):
        pytest.fail("no C compiler")
    if compiler is None:
        pytest.skip("no C compiler")
    folder = tmp_path_factory.mktemp("nss")
    source, library = folder / "hanging.c", folder / "hanging.so"
    source.write_text(HANGING_NSS)
    argv = [compiler, "-shared", "-fPIC", "-o", str(library), str(source), "-ldl"]
    subprocess.run(argv, check=True)
    return library
