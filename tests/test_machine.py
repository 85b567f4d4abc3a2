"""What the machine has: measured, and within the limits of containers."""
import pytest

from ademxapp import machine

MIB = 2 ** 20


def write(folder, files):
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.fixture
def system(tmp_path, monkeypatch):
    """A system of 64 processors and 1,000 MiB of free memory, without limits; `write` gives it more files."""
    write(tmp_path, {"proc/meminfo": "MemTotal: 9 kB\nMemAvailable:    1024000 kB\n"})
    monkeypatch.setattr(machine, "PROC", tmp_path / "proc")
    monkeypatch.setattr(machine, "GROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(machine.os, "sched_getaffinity", lambda _: range(64), raising=False)
    return lambda files: write(tmp_path, files)


def test_without_limits_there_is_what_the_system_says(system):
    assert (machine.processors(), machine.free_bytes()) == (64, 1000 * MIB)


@pytest.mark.parametrize("name", ["job/step", ""])  # with the whole tree to be seen, and as the topmost of its own
def test_limits_of_version_2_and_those_above_count(system, name):
    system({"proc/self/cgroup": f"0::/{name}\n", f"cgroup/{name}/cpu.max": "250000 100000\n",
            f"cgroup/{name}/memory.max": f"{500 * MIB}\n", f"cgroup/{name}/memory.current": f"{300 * MIB}\n",
            f"cgroup/{name}/memory.stat": f"anon 7\ninactive_file {100 * MIB}\n"})
    assert (machine.processors(), machine.free_bytes()) == (3, 300 * MIB)
    if name:
        system({"cgroup/job/memory.max": f"{400 * MIB}\n", "cgroup/job/memory.current": f"{350 * MIB}\n",
                "cgroup/job/cpu.max": "max 100000\n"})
        assert (machine.processors(), machine.free_bytes()) == (3, 50 * MIB)


@pytest.mark.parametrize("place", ["docker/abc/", ""])  # a container may not see the folder of its group's name
@pytest.mark.parametrize("folder", ["cpu", "cpu,cpuacct"])
def test_limits_of_version_1_count(system, folder, place):
    system({"proc/self/cgroup": "9:name=systemd:/\n4:memory:/docker/abc\n1:cpu,cpuacct:/docker/abc\n0::/\n",
            f"cgroup/{folder}/{place}cpu.cfs_quota_us": "150000\n",
            f"cgroup/{folder}/{place}cpu.cfs_period_us": "100000\n",
            f"cgroup/memory/{place}memory.limit_in_bytes": f"{500 * MIB}\n",
            f"cgroup/memory/{place}memory.usage_in_bytes": f"{300 * MIB}\n",
            f"cgroup/memory/{place}memory.stat": f"cache 7\ntotal_inactive_file {200 * MIB}\n",
            "cgroup/memory/other/memory.limit_in_bytes": "5\n"})
    assert (machine.processors(), machine.free_bytes()) == (2, 400 * MIB)


def test_no_limit_is_none(system):
    system({"proc/self/cgroup": "4:memory:/\n1:cpu:/\n", "cgroup/cpu/cpu.cfs_quota_us": "-1\n",
            "cgroup/cpu/cpu.cfs_period_us": "100000\n",
            "cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
            "cgroup/memory/memory.usage_in_bytes": "7\n"})
    assert (machine.processors(), machine.free_bytes()) == (64, 1000 * MIB)


def test_a_system_without_proc_tells_too(tmp_path, monkeypatch):
    monkeypatch.setattr(machine, "PROC", tmp_path / "none")
    monkeypatch.delattr(machine.os, "sched_getaffinity", raising=False)
    assert machine.processors() >= 1 and machine.free_bytes() > 0
    assert machine.processor_field("model name") == "" and machine.processor_flags() == frozenset()
    monkeypatch.setattr(machine.os, "sysconf_names", {})
    assert machine.free_bytes() is None
