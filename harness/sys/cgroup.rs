//! Control groups: where a process is, who is in one, and which one has a number (cgroups(7)).

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Where the hierarchy of version 2 is mounted: alone, or beside those of version 1.
const MOUNTS: [&str; 2] = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"];
/// More directories than that are not looked at.
const MOST: usize = 20_000;

/// Where version 2 is mounted; `None` if it is not.
pub fn mount() -> Option<&'static Path> {
    // Only version 2 has this file at its root.
    MOUNTS.iter().map(Path::new).find(|mount| mount.join("cgroup.controllers").exists())
}

/// The directories that have these inodes, by which the kernel numbers groups.
pub fn directories(wanted: &BTreeSet<u64>) -> BTreeMap<u64, PathBuf> {
    let mut found = BTreeMap::new();
    let Some(mount) = mount().filter(|_| !wanted.is_empty()) else { return found };
    let mut open = vec![mount.to_owned()];
    let mut seen = 0;
    while let Some(path) = open.pop() {
        seen += 1;
        let Ok(stat) = fs::metadata(&path) else { continue };
        if wanted.contains(&stat.ino()) {
            found.insert(stat.ino(), path.clone());
        }
        if found.len() == wanted.len() || seen > MOST {
            break;
        }
        let Ok(entries) = fs::read_dir(&path) else { continue };
        let below = entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        open.extend(below.map(|entry| entry.path()));
    }
    found
}

/// The processes of a group, without those of groups in it.
pub fn processes(directory: &Path) -> Vec<i32> {
    let text = fs::read_to_string(directory.join("cgroup.procs")).unwrap_or_default();
    text.lines().filter_map(|line| line.parse().ok()).filter(|pid| *pid > 0).collect()
}

/// The path of a group within its hierarchy, as /proc/PID/cgroup writes it.
pub fn path_of(directory: &Path) -> Option<String> {
    let inside = directory.strip_prefix(mount()?).ok()?;
    Some(format!("/{}", inside.to_string_lossy()))
}

/// The group by which systemd knows a process: the one of version 2; where that is the root, the one of systemd's own
/// hierarchy of version 1.
pub fn of_process(pid: i32) -> Option<String> {
    let text = fs::read(format!("/proc/{pid}/cgroup")).ok()?;
    of_table(&String::from_utf8_lossy(&text))
}

/// The same from the text of /proc/PID/cgroup.
pub fn of_table(text: &str) -> Option<String> {
    let find = |prefix: &str| text.lines().find_map(|line| line.split_once(prefix).filter(|(id, _)| is_number(id)));
    let unified = find("::").map(|(_, path)| path);
    let own = find(":name=systemd:").map(|(_, path)| path);
    unified.filter(|path| *path != "/").or(own).or(unified).map(str::to_owned)
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}
