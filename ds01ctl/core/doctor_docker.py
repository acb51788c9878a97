"""Judge the Docker engine, its daemon.json and who may talk to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ds01ctl.core.doctor_row import absent, fine, problem, unknown, warning, words
from ds01ctl.core.host_facts import Unread

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ds01ctl.core.doctor_row import Row
    from ds01ctl.core.host_facts import DockerFacts, EngineFacts, HostFacts
    from ds01ctl.core.policy import Policy

_AREA = "docker"
_OLDEST_ON_V2 = (20, 10)
_UNLIMITED = "json-file"
_SLOW_STORAGE = frozenset({"vfs", "devicemapper", "aufs", "overlay"})
_SHOWN = 6


def rows(facts: HostFacts, policy: Policy) -> Iterator[Row]:
    """Make the rows of Docker."""
    docker = facts.docker
    engine = docker.engine
    yield _engine(docker)
    yield _config(docker)
    yield _group(docker)
    yield _open_api(docker)
    if isinstance(engine, Unread):
        return
    yield _version(engine)
    yield driver_row(docker, engine, policy)
    yield parent_row(docker, engine, policy)
    yield _runtime(engine, facts)
    yield _remap(engine)
    yield _apparmor(engine)
    yield _seccomp(docker, engine)
    yield _live_restore(docker, engine)
    yield _logs(docker, engine)
    yield _storage(docker, engine)


def restart(engine: EngineFacts | None) -> str:
    """Say how daemon.json comes into force, and whom that would hit."""
    if engine is not None and engine.live_restore:
        return "then: systemctl restart docker (live-restore is on: containers run on)"
    return "then, when no container runs (docker ps): systemctl restart docker"


def _put(docker: DockerFacts, line: str, engine: EngineFacts | None = None) -> str:
    """Say which line belongs into daemon.json."""
    return f"in {docker.config_path}: {line}; {restart(engine)}"


def _engine(docker: DockerFacts) -> Row:
    engine = docker.engine
    if not isinstance(engine, Unread):
        return fine(_AREA, "engine", f"answers at {docker.host}")
    if engine.kind == "absent" and not docker.is_expected:
        return absent(_AREA, "engine", f"none at {docker.host}")
    if engine.kind == "denied":
        return unknown(_AREA, "engine", engine)
    return problem(
        _AREA, "engine", engine.reason,
        "no container can be started or seen; the checks of the engine's settings are left out",
        "systemctl start docker; if that fails: journalctl -u docker -n 50",
    )._replace(gap=engine)  # fmt: skip


def _config(docker: DockerFacts) -> Row:
    config = docker.config
    if isinstance(config, Unread):
        if config.kind == "absent":
            return absent(_AREA, "daemon.json", "no such file; everything is at its default")
        return unknown(_AREA, "daemon.json", config)
    if config.problem is None:
        return fine(_AREA, "daemon.json", f"{config.path} can be read")
    return problem(
        _AREA, "daemon.json", config.problem,
        "the next start of dockerd fails: after a reboot or an upgrade no container comes back",
        f"correct that line, then try: dockerd --validate --config-file {config.path}",
    )  # fmt: skip


def _group(docker: DockerFacts) -> Row:
    check, members = "group docker", docker.group
    if isinstance(members, Unread):
        if members.kind == "absent":
            return absent(_AREA, check, "there is no such group")
        return unknown(_AREA, check, members)
    if not members:
        return fine(_AREA, check, "no members in /etc/group")
    more = f" and {len(members) - _SHOWN} more" if len(members) > _SHOWN else ""
    return warning(
        _AREA, check, f"{len(members)} in /etc/group: {', '.join(members[:_SHOWN])}{more}",
        "each of them is root: docker run -v /:/host reads and writes everything",
        f"leave only whom you would give root: gpasswd -d {words(members[0])} docker",
    )  # fmt: skip


def _settings(docker: DockerFacts) -> dict[str, object]:
    config = docker.config
    return {} if isinstance(config, Unread) else dict(config.settings)


def _unread_config(docker: DockerFacts) -> Unread | None:
    """Say why daemon.json could not be read; None where it could, or where there is none."""
    config = docker.config
    if isinstance(config, Unread):
        return None if config.kind == "absent" else config
    return Unread("failed", config.problem) if config.problem else None


def _open_api(docker: DockerFacts) -> Row:
    check, settings = "API over TCP", _settings(docker)
    listed = settings.get("hosts")
    hosts = [str(host) for host in listed] if isinstance(listed, list) else []
    hosts += [word.split("=", 1)[-1] for word in docker.command if "tcp://" in word]
    is_safe = settings.get("tlsverify") is True or any(
        word in {"--tlsverify", "--tlsverify=true"} for word in docker.command
    )
    opened = sorted({host for host in hosts if host.startswith("tcp://")})
    if not isinstance(docker.engine, Unread):
        opened += [text for text in docker.engine.warnings if "API is accessible on" in text][:1]
    if not opened:
        unheard = docker.engine if isinstance(docker.engine, Unread) else None
        if unheard is None or unheard.kind == "absent":
            return fine(_AREA, check, "off")
        return unknown(_AREA, check, unheard)
    if is_safe:
        return fine(_AREA, check, f"{opened[0]}, with TLS for both sides")
    return problem(
        _AREA, check, f"{opened[0]}, without TLS",
        "whoever reaches that port is root on this host, every local user too",
        f"remove the tcp:// address from hosts in {docker.config_path} and from dockerd's -H"
        f" (systemctl cat docker); {restart(_engine_of(docker))}",
    )  # fmt: skip


def _engine_of(docker: DockerFacts) -> EngineFacts | None:
    return None if isinstance(docker.engine, Unread) else docker.engine


def _version(engine: EngineFacts) -> Row:
    found = f"{engine.version}, API {engine.api_version}"
    numbers = [int(part) for part in engine.version.split(".")[:2] if part.isdecimal()]
    if engine.cgroup_version != "2" or not numbers or tuple(numbers) >= _OLDEST_ON_V2:
        return fine(_AREA, "version", found)
    return problem(
        _AREA, "version", f"{found}: too old for control groups v2",
        "before 20.10 no limit of a container is held on v2",
        f"apt-get update && apt-get install docker.io; {restart(engine)}",
    )  # fmt: skip


def driver_row(docker: DockerFacts, engine: EngineFacts, policy: Policy) -> Row:
    """Judge the cgroup driver."""
    wanted = str(policy.value("enforcement.cgroup_driver"))
    version = f", control groups v{engine.cgroup_version}" if engine.cgroup_version else ""
    if engine.cgroup_driver == wanted:
        return fine(_AREA, "cgroup driver", f"{wanted}{version}")
    return problem(
        _AREA, "cgroup driver", f"{engine.cgroup_driver}, but the policy wants {wanted}",
        "containers lie elsewhere than the slices, whose limits then do not hold them",
        # containers that live through the change would be lost to the new driver
        f'in {docker.config_path}: "exec-opts": ["native.cgroupdriver={wanted}"], or set'
        f" enforcement.cgroup_driver in the policy; {restart(None)}",
    )  # fmt: skip


def parent_row(docker: DockerFacts, engine: EngineFacts, policy: Policy) -> Row:
    """Judge the default parent of control groups."""
    check, wanted = "default cgroup-parent", str(policy.value("platform.slice"))
    found = str(_settings(docker).get("cgroup-parent") or "")
    if not found:
        given = [word.split("=", 1)[1] for word in docker.command if "--cgroup-parent=" in word]
        found = given[0] if given else ""
    if found.strip("/") == wanted:
        return fine(_AREA, check, wanted)
    if not found and (gap := _unread_config(docker)):
        return unknown(_AREA, check, gap)
    return warning(
        _AREA, check, f"{found or 'not set'}, but the policy has {wanted}",
        "a container that is started past the docker wrapper is outside of every limit",
        _put(docker, f'"cgroup-parent": "{wanted}"', engine),
    )  # fmt: skip


def _runtime(engine: EngineFacts, facts: HostFacts) -> Row:
    check, name = "default runtime", engine.default_runtime
    has_toolkit = not isinstance(facts.gpu.toolkit, Unread)
    if (
        facts.gpu.gpus
        and has_toolkit
        and "nvidia" not in engine.runtimes
        and not engine.cdi_folders
    ):
        return warning(
            _AREA, check, f"{name}; no runtime nvidia, and CDI is off",
            "no container gets a GPU through the toolkit's runtime",
            f"nvidia-ctk runtime configure --runtime=docker; {restart(engine)}",
        )  # fmt: skip
    if name.startswith("nvidia"):
        return fine(_AREA, check, f"{name} (an image's own ENV can ask for every GPU)")
    return fine(_AREA, check, name)


def _remap(engine: EngineFacts) -> Row:
    if any("name=userns" in text for text in engine.security):
        return fine(_AREA, "userns-remap", "on")
    found = "off: root in a container is root on what is mounted into it"
    return absent(_AREA, "userns-remap", found)


def _apparmor(engine: EngineFacts) -> Row:
    if any(text.startswith("name=apparmor") for text in engine.security):
        return fine(_AREA, "AppArmor", "used for containers")
    return warning(
        _AREA, "AppArmor", "not used for containers",
        "one wall less between a container and the kernel's files in /proc and /sys",
        f"apt-get install apparmor && systemctl start apparmor; {restart(engine)}",
    )  # fmt: skip


def _seccomp(docker: DockerFacts, engine: EngineFacts) -> Row:
    found = next((text for text in engine.security if text.startswith("name=seccomp")), None)
    if found is not None and "unconfined" not in found:
        return fine(_AREA, "seccomp", found.partition("profile=")[2] or "on")
    return problem(
        _AREA, "seccomp", "unconfined by default" if found else "off",
        "every container may make every system call",
        f"remove seccomp-profile from {docker.config_path}, --seccomp-profile from dockerd's"
        f" command line; {restart(engine)}",
    )  # fmt: skip


def _live_restore(docker: DockerFacts, engine: EngineFacts) -> Row:
    if engine.live_restore:
        return fine(_AREA, "live-restore", "on")
    return warning(
        _AREA, "live-restore", "off",
        "a restart of dockerd, as in each upgrade of the package, ends every container",
        f'in {docker.config_path}: "live-restore": true;'
        " then: systemctl reload docker (stops nothing)",
    )  # fmt: skip


def _logs(docker: DockerFacts, engine: EngineFacts) -> Row:
    options = _settings(docker).get("log-opts")
    size = options.get("max-size") if isinstance(options, dict) else None
    if engine.log_driver != _UNLIMITED:
        return fine(_AREA, "container logs", engine.log_driver)
    if size or any(word.startswith("max-size=") for word in docker.command):
        return fine(_AREA, "container logs", f"json-file, at most {size or 'as dockerd was told'}")
    if gap := _unread_config(docker):
        return unknown(_AREA, "container logs", gap)
    return warning(
        _AREA, "container logs", "json-file without max-size",
        "one talkative container fills the disk; containers that exist keep their setting",
        _put(docker, '"log-opts": {"max-size": "50m", "max-file": "3"}', engine),
    )  # fmt: skip


def _storage(docker: DockerFacts, engine: EngineFacts) -> Row:
    below = f" on {engine.backing}" if engine.backing else ""
    found = f"{engine.storage_driver}{below}, data in {engine.data_root}"
    if engine.storage_driver not in _SLOW_STORAGE:
        return fine(_AREA, "storage driver", found)
    return warning(
        _AREA, "storage driver", found,
        "slow, and a full copy of the image for each container; images must be pulled anew after"
        " a change",
        _put(docker, '"storage-driver": "overlay2"', engine),
    )  # fmt: skip
