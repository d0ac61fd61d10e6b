//! From files on this machine to the unit directories that the pure half looks at.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};

use crate::ctl::analyze::Shelf;
use crate::unit::name;
use crate::unit::{FileEntry, Profile, SEARCH_PATH};

/// Larger files are not unit files.
const LARGEST: u64 = 16 * 1024 * 1024;
/// As many symlinks as the kernel follows.
const MOST_LINKS: usize = 40;
/// Where files that are named on the command line lie, for who looks at them.
const INSTALLED: &str = "/etc/systemd/system";
/// Where the manager looks for a program that is named without a directory.
const PROGRAMS: [&str; 6] = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];
/// Directories beside a unit that belong to it.
const OF_UNITS: [&str; 4] = [".d", ".wants", ".requires", ".upholds"];

/// The unit files that were asked for, with what lies beside them.
#[derive(Debug, Default)]
pub(in crate::cli) struct Place {
    pub(in crate::cli) shelf: Shelf,
    /// The names of the units that were asked for.
    pub(in crate::cli) names: Vec<String>,
    root: Option<PathBuf>,
}

impl Place {
    /// Reads the files, the directories they lie in, and the unit directories below `root`.
    ///
    /// # Errors
    ///
    /// A file that is no unit file, or cannot be read: what, where, why.
    pub(in crate::cli) fn new(
        profile: Profile,
        root: Option<&Path>,
        files: &[PathBuf],
        stdin: &str,
    ) -> Result<Self, String> {
        let mut place = Place { root: root.map(Path::to_owned), ..Place::default() };
        place.shelf.profile = profile;
        place.shelf.complete = root.is_some();
        if let Some(root) = root.filter(|root| !root.is_dir()) {
            return Err(format!("--root={}: there is no such directory", root.display()));
        }
        let mut seen = BTreeSet::new();
        for file in files {
            if file.as_os_str() == "-" {
                place.add_stdin(stdin)?;
                continue;
            }
            let name = place.add(file, &mut seen)?;
            place.names.push(name);
        }
        // Where it is not a link to the other, /lib has what comes with the system.
        let lib = ("/lib/systemd/system", "/usr/lib/systemd/system");
        for (directory, known) in SEARCH_PATH.into_iter().map(|dir| (dir, dir)).chain([lib]) {
            if let Some(real) = place.below_root(directory) {
                place.add_directory(&real, known, true);
            }
        }
        Ok(place)
    }

    /// Reads a drop-in of a unit that is not there, with the others beside it; the unit is made up.
    ///
    /// # Errors
    ///
    /// As [`Place::new`].
    pub(in crate::cli) fn of_drop_in(profile: Profile, file: &Path, unit: &Path) -> Result<Self, String> {
        let mut place = Place::default();
        place.shelf.profile = profile;
        let shown = file.display();
        read_file(file).map_err(|error| format!("{shown}: {error}"))?;
        let name = unit.file_name().and_then(OsStr::to_str).filter(|name| name::is_valid(name));
        let directory = unit.parent().map(|parent| std::path::absolute(Path::new(".").join(parent)));
        let (Some(name), Some(Ok(directory))) = (name, directory) else {
            return Err(format!("{shown}: {NOT_A_NAME}"));
        };
        place.add_directory(&directory, INSTALLED, false);
        let content = match crate::unit::UnitType::of(name) {
            Some(crate::unit::UnitType::Service) => "[Service]\nExecStart=/bin/true\n",
            Some(crate::unit::UnitType::Socket) => "[Socket]\nListenStream=/run/stand-in\n",
            _ => "[Unit]\n",
        };
        place.shelf.files.insert(format!("/usr/lib/systemd/system/{name}"), content);
        place.names.push(name.to_owned());
        Ok(place)
    }

    fn add_stdin(&mut self, name: &str) -> Result<(), String> {
        if !name::is_valid(name) {
            return Err(format!("--name={name}: {NOT_A_NAME}"));
        }
        let content = read_all(io::stdin().lock()).map_err(|error| format!("standard input: {error}"))?;
        let path = format!("{INSTALLED}/{name}");
        self.shelf.files.insert(path.clone(), content);
        self.shelf.shown.insert(path, "<stdin>".to_owned());
        self.names.push(name.to_owned());
        Ok(())
    }

    /// Takes in a file and its directory; the unit's name.
    fn add(&mut self, file: &Path, seen: &mut BTreeSet<PathBuf>) -> Result<String, String> {
        let shown = file.display();
        let path = std::path::absolute(file).map_err(|error| format!("{shown}: {error}"))?;
        let name = path.file_name().and_then(OsStr::to_str).filter(|name| name::is_valid(name));
        let (Some(name), Some(directory)) = (name, path.parent()) else {
            return Err(format!("{shown}: {NOT_A_NAME}"));
        };
        // An instance may be there as its template.
        let template = name::template(name);
        let own = std::iter::once(name).chain(template.as_deref()).find(|name| directory.join(name).exists());
        let Some(own) = own else {
            // Below a root a name is enough.
            let known = |name: &str| SEARCH_PATH.iter().any(|dir| self.below_root(&format!("{dir}/{name}")).is_some());
            return match known(name) || template.as_deref().is_some_and(known) {
                true => Ok(name.to_owned()),
                false => Err(format!("{shown}: there is no such file")),
            };
        };
        if seen.insert(directory.to_owned()) {
            self.add_directory(directory, INSTALLED, false);
        }
        // A directory need not be readable for its files to be.
        let known = format!("{INSTALLED}/{own}");
        let own = directory.join(own);
        self.add_entry(&own, &known, Some(directory), false);
        // Whoever names a file wants to hear why it cannot be read.
        let target = fs::canonicalize(&own).map_err(|error| format!("{shown}: {error}"))?;
        if target != Path::new("/dev/null") {
            read_file(&target).map_err(|error| format!("{shown}: {error}"))?;
        }
        Ok(name.to_owned())
    }

    /// Takes in the units of a directory, and what lies in the directories of units beside them. What is known already
    /// has come from a directory that goes before.
    fn add_directory(&mut self, directory: &Path, known: &str, chroot: bool) {
        for (name, path) in entries(directory) {
            if name::is_valid(&name) {
                self.add_entry(&path, &format!("{known}/{name}"), Some(directory), chroot);
            } else if OF_UNITS.iter().any(|suffix| name.ends_with(suffix)) {
                let real = if chroot { self.inside(&path) } else { Some(path.clone()) };
                for (inner, path) in real.iter().flat_map(|real| entries(real)) {
                    self.add_entry(&path, &format!("{known}/{name}/{inner}"), None, chroot);
                }
            }
        }
    }

    /// Takes in a file or link. `siblings` is the directory whose links are aliases.
    fn add_entry(&mut self, path: &Path, known: &str, siblings: Option<&Path>, chroot: bool) {
        if self.shelf.files.entries.contains_key(known) {
            return;
        }
        let entry = match fs::read_link(path) {
            Ok(target) if chroot => self.link_below_root(path, target),
            Ok(target) => link(path, &target, siblings),
            Err(_) => read_file(path).ok().map(|content| FileEntry::Regular { content, generation: 0 }),
        };
        if let Some(entry) = entry {
            self.shelf.files.entries.insert(known.to_owned(), entry);
            self.shelf.shown.insert(known.to_owned(), path.to_string_lossy().into_owned());
        }
    }

    /// A link below the root stays one; what it leads to is taken in, too.
    fn link_below_root(&mut self, path: &Path, target: PathBuf) -> Option<FileEntry> {
        if let Some(real) = self.inside(path)
            && let Some(inside) = self.root.as_ref().and_then(|root| real.strip_prefix(root).ok())
            && let Ok(content) = read_file(&real)
        {
            let place = format!("/{}", inside.to_string_lossy());
            let in_unit_directory = SEARCH_PATH.iter().any(|dir| place.starts_with(&format!("{dir}/")));
            if !in_unit_directory {
                self.shelf.files.entries.insert(place.clone(), FileEntry::Regular { content, generation: 0 });
                self.shelf.shown.insert(place, real.to_string_lossy().into_owned());
            }
        }
        Some(FileEntry::Symlink { target: target.to_string_lossy().into_owned() })
    }

    /// Whether a program can be executed; else why not, in errno's words. What cannot be executed counts as missing
    /// where a name is searched.
    pub(super) fn executable(&self, path: &str) -> Result<(), &'static str> {
        const MISSING: &str = "No such file or directory";
        if !path.contains('/') {
            let found = PROGRAMS.iter().any(|dir| self.executable(&format!("{dir}/{path}")).is_ok());
            return if found { Ok(()) } else { Err(MISSING) };
        }
        let file = self.below_root(path).ok_or(MISSING)?;
        match fs::metadata(file) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Err("Permission denied"),
            Err(_) => Err(MISSING),
            Ok(meta) if meta.is_dir() => Err("Is a directory"),
            Ok(meta) if meta.permissions().mode() & 0o111 == 0 => Err("Permission denied"),
            Ok(_) => Ok(()),
        }
    }

    /// A file below the root, if there is one.
    pub(super) fn read(&self, path: &str) -> Option<Vec<u8>> {
        read_file(&self.below_root(path)?).ok()
    }

    /// The place of an absolute path of the root, without leaving it through a link; `None` if it does not exist.
    fn below_root(&self, path: &str) -> Option<PathBuf> {
        let root = self.root.as_deref()?;
        let mut todo: Vec<std::ffi::OsString> = components(Path::new(path));
        let mut done = PathBuf::new();
        let mut links = 0;
        while let Some(part) = todo.pop() {
            if part == ".." {
                done.pop();
                continue;
            }
            done.push(&part);
            let real = root.join(&done);
            if let Ok(target) = fs::read_link(&real) {
                links += 1;
                if links > MOST_LINKS {
                    return None;
                }
                done.pop();
                if target.is_absolute() {
                    done.clear();
                }
                todo.extend(components(&target));
            } else if !real.exists() {
                return None;
            }
        }
        Some(root.join(done))
    }

    /// The same for a path of this machine that lies below the root.
    fn inside(&self, path: &Path) -> Option<PathBuf> {
        let inside = path.strip_prefix(self.root.as_deref()?).ok()?;
        self.below_root(&format!("/{}", inside.to_str()?))
    }
}

const NOT_A_NAME: &str = "not the name of a unit, which is NAME.service, NAME.socket, NAME.target, …";

/// The components of a path, last first.
fn components(path: &Path) -> Vec<std::ffi::OsString> {
    let parts = path.components().filter(|part| matches!(part, Component::Normal(_) | Component::ParentDir));
    let mut parts: Vec<_> = parts.map(|part| part.as_os_str().to_owned()).collect();
    parts.reverse();
    parts
}

/// A link on this machine: an alias of a sibling, a mask, or a unit file that lies elsewhere.
fn link(path: &Path, target: &Path, siblings: Option<&Path>) -> Option<FileEntry> {
    let symlink = |target: &Path| Some(FileEntry::Symlink { target: target.to_string_lossy().into_owned() });
    let real = fs::canonicalize(path);
    if real.as_deref().is_ok_and(|real| real == Path::new("/dev/null")) {
        return symlink(Path::new("/dev/null"));
    }
    let Some(siblings) = siblings else { return symlink(target) };
    let from = if target.is_absolute() { target.to_owned() } else { siblings.join(target) };
    let inside = from
        .parent()
        .and_then(|parent| Some(fs::canonicalize(parent).ok()?.starts_with(fs::canonicalize(siblings).ok()?)));
    if inside == Some(true) {
        return symlink(Path::new(from.file_name()?));
    }
    let content = read_file(&real.ok()?).ok()?;
    Some(FileEntry::Regular { content, generation: 0 })
}

/// Names and paths in a directory, in order; what has no name in UTF-8 is no unit.
fn entries(directory: &Path) -> Vec<(String, PathBuf)> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let name = |entry: fs::DirEntry| Some((entry.file_name().into_string().ok()?, entry.path()));
    let mut all: Vec<(String, PathBuf)> = entries.flatten().filter_map(name).collect();
    all.sort();
    all
}

/// A regular file; never waits for a pipe or a device.
fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    read_all(File::open(path)?)
}

fn read_all(from: impl Read) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    from.take(LARGEST + 1).read_to_end(&mut content)?;
    if content.len() as u64 > LARGEST {
        return Err(io::Error::other("larger than 16 MiB, which no unit file is"));
    }
    Ok(content)
}
