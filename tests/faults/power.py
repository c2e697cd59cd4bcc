"""Loses the power at every call that changes the disk, and looks at all that may be there afterwards.

    python3 tests/faults/power.py TFQUANT

Each scenario of faults.py is run once, and its calls are written down. After any number of them the power may go. What a
sync had brought to disk by then is there; of what no sync had, a file's bytes may be anything, and of the entries of folders
that were made, renamed or removed, any may be missing, the later ones without the earlier ones too. In each such state,
every output must be the old one or the new one, whole; and the new one once the program is done. Needs strace. Prints a
line for each scenario; exit code 1 if anything was not as it must be.
"""

import itertools
import pathlib
import re
import tempfile

from faults import SCENARIOS, run_traced, start

CALLS = (
    "openat,mkdir,mkdirat,write,pwrite64,writev,copy_file_range,sendfile,ftruncate,fsync,fdatasync,"
    "rename,renameat,renameat2,link,linkat,unlink,unlinkat,rmdir"
)
WRITES = {"write", "pwrite64", "writev", "ftruncate"}
# More changes than these at once would be too many states.
MOST_PENDING = 14


class Inode:
    """A file or folder. Of a folder, what is in it by name; of a file, whether it has bytes that no sync brought to disk."""

    def __init__(self, is_folder):
        self.entries = {} if is_folder else None
        self.unsynced = False


class Disk:
    """The tree below one folder, as the program sees it, and the changes to it that no sync brought to disk."""

    def __init__(self, top):
        self.top, self.root = str(top), self.read(pathlib.Path(top))
        self.pending = []
        # What folders hold on disk: at first, and of those that a sync changed, now.
        self.original = self.entries_below(self.root)
        self.durable = {}

    def read(self, path):
        """What is there before the program runs, all of it on disk."""
        inode = Inode(path.is_dir())
        if path.is_dir():
            inode.entries = {entry.name: self.read(entry) for entry in path.iterdir()}
        return inode

    def parts(self, path):
        """The names that lead to a path from the folder; None for one elsewhere."""
        path = str(pathlib.Path(self.top, path))
        return pathlib.Path(path).relative_to(self.top).parts if path.startswith(self.top) else None

    def find(self, path):
        """The file or folder of that path."""
        parts = self.parts(path)
        inode = self.root if parts is not None else None
        for part in parts or ():
            inode = inode and inode.entries is not None and inode.entries.get(part)
        return inode or None

    def place(self, path):
        """The folder that holds a path, and its name there."""
        parts = self.parts(path)
        return None if not parts else (self.find(str(pathlib.Path(self.top, *parts[:-1]))), parts[-1])

    def change(self, *changes):
        """Changes entries, each a folder, a name and what is there then, all of them or none."""
        self.pending.append(changes)
        for folder, name, inode in changes:
            put(folder.entries, name, inode)

    def sync(self, inode):
        """Brings a file's bytes, or a folder's entries, to disk."""
        inode.unsynced = False
        if inode.entries is None:
            return
        done = [changes for changes in self.pending if any(folder is inode for folder, _, _ in changes)]
        self.pending = [changes for changes in self.pending if changes not in done]
        for changes in done:
            self.write_down(self.durable, changes)

    def write_down(self, entries, changes):
        """Makes changes to the entries of folders, which are those of the beginning if nothing is known of them."""
        for folder, name, inode in changes:
            put(entries.setdefault(id(folder), dict(self.first(folder))), name, inode)

    def first(self, folder):
        """What a folder held before the program ran."""
        return self.original.get(id(folder), {})

    def entries_below(self, folder):
        """What each folder holds."""
        found, waiting = {}, [folder]
        while waiting:
            inode = waiting.pop()
            if inode.entries is not None:
                found[id(inode)] = dict(inode.entries)
                waiting.extend(inode.entries.values())
        return found

    def states(self):
        """What the entries of folders may be after the power went: any of the changes may have reached the disk."""
        pending = self.pending[-MOST_PENDING:]
        for reached in itertools.product([False, True], repeat=len(pending)):
            entries = {key: dict(names) for key, names in self.durable.items()}
            for changes, is_there in zip(pending, reached):
                if is_there:
                    self.write_down(entries, changes)
            yield entries


def put(entries, name, inode):
    """Puts what is there under a name, or takes the name away."""
    if inode is None:
        entries.pop(name, None)
    else:
        entries[name] = inode


def calls_of(log):
    """The calls that succeeded, in the order in which they ended: name and arguments."""
    begun = {}
    for line in log.splitlines():
        process, _, call = line.partition(" ")
        if call.rstrip().endswith("<unfinished ...>"):
            begun[process] = call.strip()[: -len("<unfinished ...>")]
            continue
        resumed = re.match(r"\s*<\.\.\. \w+ resumed>(.*)", call)
        if resumed:
            call = begun.pop(process, "") + resumed[1]
        match = re.match(r"\s*(\w+)\((.*)\)\s*= \d+", call)
        if match:
            yield match[1], match[2]


def paths(arguments):
    """The paths among a call's arguments: below a folder that is open, where one is named."""
    found = []
    for folder, path in re.findall(r'(?:(?:AT_FDCWD|\d+)<([^>]*)>, )?"([^"]*)"', arguments):
        found.append(str(pathlib.Path(folder, path)))
    return found


def follow(disk, call, arguments):
    """Does to the tree what a call did; returns whether it could matter."""
    opened = re.findall(r"\d+<([^>]*)>", arguments)
    if call == "openat":
        place = disk.place(paths(arguments)[0])
        if not place or place[0] is None or "O_TMPFILE" in arguments:
            return False
        if "O_CREAT" in arguments and place[1] not in place[0].entries:
            disk.change((*place, Inode(is_folder=False)))
            return True
        return False
    if call.startswith("mkdir"):
        disk.change((*disk.place(paths(arguments)[0]), Inode(is_folder=True)))
    elif call in WRITES or call in ("copy_file_range", "sendfile"):
        target = opened[-1] if call == "copy_file_range" else opened[0]
        inode = disk.find(target)
        if inode is None:
            return False
        inode.unsynced = True
    elif call in ("fsync", "fdatasync"):
        inode = disk.find(opened[0])
        if inode is None:
            return False
        disk.sync(inode)
    elif call.startswith("rename"):
        old, new = (disk.place(path) for path in paths(arguments))
        moved, replaced = old[0].entries[old[1]], new[0].entries.get(new[1])
        disk.change((*old, replaced if "RENAME_EXCHANGE" in arguments else None), (*new, moved))
    elif call.startswith("link"):
        old, new = paths(arguments)
        inode = disk.find(old)
        if inode is None:
            return False
        disk.change((*disk.place(new), inode))
    else:
        place = disk.place(paths(arguments)[0])
        if not place or place[0] is None:
            return False
        disk.change((*place, None))
    return True


def seen(disk, entries, inode):
    """What somebody finds under a name: of a file, which one it is and whether its bytes are there; of a folder, all in it."""
    if inode.entries is None:
        return (id(inode), inode.unsynced)
    names = entries.get(id(inode), disk.first(inode))
    return tuple((name, seen(disk, entries, names[name])) for name in sorted(names))


def lost(tfquant, scenario):
    """What is not as it must be. Prints how many states there were."""
    arguments, files = SCENARIOS[scenario]
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder).resolve()
        for name, contents in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(contents)
        disk = Disk(folder)
        outputs = {name for option, name in zip(arguments, arguments[1:]) if option in ("-o", "--report")}
        log = run_traced(tfquant, arguments, folder, CALLS)

    def found():
        """What each output may be now."""
        for entries in disk.states():
            top = entries.get(id(disk.root), disk.first(disk.root))
            yield {output: seen(disk, entries, top[output]) if output in top else None for output in outputs}

    old = next(iter(found()))
    history, states = [], 0
    for call, arguments in calls_of(log):
        if not follow(disk, call, arguments):
            continue
        may_be = list(found())
        states += len(may_be)
        history.append((f"{call}({arguments[:60]})", may_be))
    new = {output: seen_now(disk.root.entries.get(output)) for output in outputs}
    wrong = []
    for number, (call, may_be) in enumerate(history):
        for state in may_be:
            for output in outputs:
                if state[output] not in (old[output], new[output]):
                    wrong.append(f"after call {number}, {call}: '{output}' is neither the old nor the new one")
    for state in history[-1][1]:
        if state != new:
            wrong.append("the program is done, and an output is not on disk")
    print(f"{scenario}: {states} states after {len(history)} calls")
    return wrong


def seen_now(inode):
    """What the program sees under a name, all of it on disk."""
    if inode is None:
        return None
    if inode.entries is None:
        return (id(inode), False)
    return tuple((name, seen_now(inode.entries[name])) for name in sorted(inode.entries))


def main(tfquant):
    tfquant = pathlib.Path(tfquant).resolve()
    found = 0
    for scenario in SCENARIOS:
        wrong = lost(tfquant, scenario)
        for problem in dict.fromkeys(wrong):
            print(f"!! {scenario}: {problem}")
        found += len(wrong)
    print(f"{found} wrong")
    return min(found, 1)


if __name__ == "__main__":
    start(main, __doc__)
