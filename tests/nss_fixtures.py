"""A name service that hangs, fails, or has a directory: a library to be preloaded."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

HANGING_NSS = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A look-up named by HANG_UID, HANG_NAME or HANG_GROUP never answers, like a directory behind a
   dead link; one named by FAIL_UID, FAIL_NAME or FAIL_GROUP has EIO, like one that is down; the
   login DIRECTORY_NAME is known, with DIRECTORY_UID as uid and gid, and DIRECTORY_GROUP is a
   group of it. */
static int is_number(const char *variable, unsigned id) {
    const char *value = getenv(variable);
    return value && (unsigned)atoll(value) == id;
}

static int is_text(const char *variable, const char *name) {
    const char *value = getenv(variable);
    return value && !strcmp(value, name);
}

static int known(struct passwd *pwd, struct passwd **result) {
    unsigned id = atoll(getenv("DIRECTORY_UID"));
    *pwd = (struct passwd){getenv("DIRECTORY_NAME"), "x", id, id, "", "/", "/bin/sh"};
    *result = pwd;
    return 0;
}

int getpwuid_r(uid_t uid, struct passwd *pwd, char *buffer, size_t size, struct passwd **result) {
    int (*real)(uid_t, struct passwd *, char *, size_t, struct passwd **) =
        dlsym(RTLD_NEXT, "getpwuid_r");
    while (is_number("HANG_UID", uid)) pause();
    *result = NULL;
    if (is_number("FAIL_UID", uid)) return EIO;
    if (is_number("DIRECTORY_UID", uid)) return known(pwd, result);
    return real(uid, pwd, buffer, size, result);
}

int getpwnam_r(const char *name, struct passwd *pwd, char *buffer, size_t size,
               struct passwd **result) {
    int (*real)(const char *, struct passwd *, char *, size_t, struct passwd **) =
        dlsym(RTLD_NEXT, "getpwnam_r");
    while (is_text("HANG_NAME", name)) pause();
    *result = NULL;
    if (is_text("FAIL_NAME", name)) return EIO;
    if (is_text("DIRECTORY_NAME", name)) return known(pwd, result);
    return real(name, pwd, buffer, size, result);
}

int getgrnam_r(const char *name, struct group *group, char *buffer, size_t size,
               struct group **result) {
    int (*real)(const char *, struct group *, char *, size_t, struct group **) =
        dlsym(RTLD_NEXT, "getgrnam_r");
    static char *members[2];
    while (is_text("HANG_GROUP", name)) pause();
    *result = NULL;
    if (is_text("FAIL_GROUP", name)) return EIO;
    if (!is_text("DIRECTORY_GROUP", name)) return real(name, group, buffer, size, result);
    members[0] = getenv("DIRECTORY_NAME");
    *group = (struct group){(char *)name, "x", 77777, members};
    *result = group;
    return 0;
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
