//! The run's directory: the incident's root, the commands first in PATH, and where the two worlds meet.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, BufRead};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use nix::errno::Errno;

use crate::control::{Mapping, Sink};
use crate::manager::{NOTIFY_SOCKET, PathKind};
use crate::mapping::{COMMANDS, SHELLS, SYSTEM_DIRECTORIES};
use crate::program::real_shell;
use crate::sys::port::Lease;
use crate::unit::{FileEntry, Files};

/// Where units live, as far as a run can have any.
const UNIT_DIRECTORIES: &[&str] =
    &["/etc/systemd", "/run/systemd", "/usr/lib/systemd", "/lib/systemd", "/usr/local/lib/systemd"];
/// Those of them in which a distribution has its own.
const DISTRIBUTION: &[&str] = &["/usr/lib/systemd", "/lib/systemd"];
/// Commands that are ours also where a distribution has them: they know the incident's time, and its manager.
pub(super) const REPLACED: &[&str] =
    &["date", "flock", "journalctl", "sleep", "sudo", "systemctl", "systemd-notify", "timeout", "watch"];
/// Where the manager looks for a program that is named without a directory.
const SEARCH_PATH: &[&str] = &["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/// One symbolic link under several names, where that can be: file systems take their time for every new inode.
fn link(target: impl AsRef<Path>, files: &[PathBuf]) -> io::Result<()> {
    let Some((first, others)) = files.split_first() else { return Ok(()) };
    symlink(&target, first)?;
    others.iter().try_for_each(|file| also(first, &target, file))
}

/// Another name for a symbolic link; on another file system, for instance, another link.
fn also(first: &Path, target: impl AsRef<Path>, file: &Path) -> io::Result<()> {
    fs::hard_link(first, file).or_else(|_| symlink(target, file))
}

/// Where things of a run are.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) directory: PathBuf,
    pub(super) mapping: Mapping,
    pub(super) executable: PathBuf,
    /// Where the incident's root is.
    root: PathBuf,
    /// Below which directory our commands are.
    commands: PathBuf,
    leases: Vec<Lease>,
    /// (modification time, generation) of unit files, to notice rewrites.
    generations: BTreeMap<String, ((i64, i64), u64)>,
}

impl Layout {
    /// Makes the directories and leases a port for each incident port. `own` are the paths that lie below the run's
    /// root; `None`: the run has a machine of its own, where every path and port is what it is called.
    pub(super) fn new(
        directory: &Path,
        executable: PathBuf,
        ports: &BTreeSet<u16>,
        own: Option<Vec<String>>,
    ) -> io::Result<Layout> {
        let literal = own.is_none();
        let root = if literal { PathBuf::from("/") } else { directory.join("root") };
        for path in ["etc/systemd/system", "run/systemd/system", "var/log", "home"] {
            fs::create_dir_all(root.join(path))?;
        }
        let commands = directory.join("system");
        fs::create_dir_all(&commands)?;
        // By whichever name somebody looks for a directory of commands, it is this one.
        link(".", &["bin", "sbin", "usr"].map(|name| commands.join(name)))?;
        let mapped = |path: &Path| if literal { String::new() } else { path.to_string_lossy().into_owned() };
        let mut layout = Layout {
            directory: directory.to_owned(),
            mapping: Mapping {
                root: mapped(&root),
                own: own.unwrap_or_default(),
                ports: Vec::new(),
                commands: mapped(&commands),
            },
            executable,
            root,
            commands,
            leases: Vec::new(),
            generations: BTreeMap::new(),
        };
        // Where the host has no such shell, the run has none either.
        let shells = SHELLS.iter().filter(|shell| real_shell(shell).is_some());
        let files: Vec<PathBuf> = COMMANDS.iter().chain(shells).map(|command| layout.command(command)).collect();
        link(&layout.executable, &files)?;
        if literal {
            layout.mapping.ports = ports.iter().map(|port| (*port, *port)).collect();
            return Ok(layout);
        }
        for port in ports {
            let lease = Lease::new()?;
            layout.mapping.ports.push((*port, lease.port()));
            layout.leases.push(lease);
        }
        Ok(layout)
    }

    /// Whether the run has a machine of its own.
    pub(super) fn is_literal(&self) -> bool {
        self.root == Path::new("/")
    }

    /// Whether a path is the run's, to do with what it likes.
    pub(super) fn is_own(&self, path: &str) -> bool {
        self.is_literal() || self.mapping.is_own(path)
    }

    pub(super) fn socket(&self) -> PathBuf {
        self.directory.join("control")
    }

    /// The file of one of our commands.
    pub(super) fn command(&self, name: &str) -> PathBuf {
        self.commands.join("usr/bin").join(name)
    }

    /// Where notifications come in.
    pub(super) fn notify_socket(&self) -> PathBuf {
        self.below(NOTIFY_SOCKET)
    }

    /// A path below the run's root.
    pub(super) fn below(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// Makes a path of the incident one of our executables.
    pub(super) fn install(&self, path: &str) -> io::Result<()> {
        let file = self.below(path);
        if let Some(parent) = file.parent() {
            fs::create_dir_all(parent)?;
        }
        match also(&self.command(COMMANDS[0]), &self.executable, &file) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
            _ => Ok(()),
        }
    }

    /// Writes a file of the incident, executable if it begins with `#!`.
    pub(super) fn write(&self, path: &str, content: &[u8]) -> io::Result<()> {
        let file = self.below(path);
        if let Some(parent) = file.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(&file, content)?;
        if content.starts_with(b"#!") {
            fs::set_permissions(&file, fs::Permissions::from_mode(0o755))?;
        }
        Ok(())
    }

    /// Makes a directory of the incident.
    pub(super) fn make_directory(&self, path: &str) -> io::Result<()> {
        fs::create_dir_all(self.below(path))
    }

    pub(super) fn symlink(&self, path: &str, target: &str) -> io::Result<()> {
        let link = self.below(path);
        if let Some(parent) = link.parent() {
            fs::create_dir_all(parent)?;
        }
        let _ = fs::remove_file(&link);
        symlink(target, link)
    }

    pub(super) fn remove(&self, path: &str) -> io::Result<()> {
        let file = self.below(path);
        fs::remove_file(&file)?;
        if let Some(parent) = file.parent()
            && [".wants", ".requires", ".upholds"].iter().any(|end| parent.to_string_lossy().ends_with(end))
        {
            // Only goes when empty, which is what is wanted.
            let _ = fs::remove_dir(parent);
        }
        Ok(())
    }

    /// The host's path for an incident path: below the run's root if it is there or belongs there, else as it is.
    pub(super) fn resolve(&self, path: &str) -> PathBuf {
        if let Some((system, name)) = path.rsplit_once('/')
            && SYSTEM_DIRECTORIES.contains(&system)
            && COMMANDS.contains(&name)
            && (!self.is_literal() || REPLACED.contains(&name) || !Path::new(path).exists())
        {
            return self.command(name);
        }
        let ours = self.below(path);
        if ours.symlink_metadata().is_ok() || self.mapping.is_own(path) { ours } else { PathBuf::from(path) }
    }

    /// The host's file for a program that a unit names: a path, or a bare name that is looked up as the manager does.
    ///
    /// # Errors
    ///
    /// What systemd says of one that cannot be executed (systemd.service(5), "Command lines").
    pub(super) fn executable(&self, path: &str) -> Result<PathBuf, Errno> {
        let candidates = match path.contains('/') {
            true => vec![self.resolve(path)],
            false => SEARCH_PATH.iter().map(|system| self.resolve(&format!("{system}/{path}"))).collect(),
        };
        let mut why = Errno::ENOENT;
        for file in candidates {
            match fs::metadata(&file) {
                Ok(meta) if meta.is_dir() => why = Errno::EISDIR,
                Ok(meta) if meta.mode() & 0o111 == 0 => why = Errno::EACCES,
                Ok(_) => return Ok(file),
                Err(error) => match error.raw_os_error().map(Errno::from_raw) {
                    None | Some(Errno::ENOENT) => {}
                    Some(errno) => why = errno,
                },
            }
        }
        Err(why)
    }

    /// Where a stream of a service goes (systemd.exec(5), `StandardOutput=`); `None`: to the journal. Files are always
    /// the run's own: a directory that only the host has is made below the run's root.
    pub(super) fn sink(&self, output: &str) -> io::Result<Option<Sink>> {
        let (kind, path) = match output.split_once(':') {
            None if output == "null" => return Ok(Some(Sink::Append("/dev/null".to_owned()))),
            Some((kind @ ("file" | "append" | "truncate"), path)) => (kind, path),
            _ => return Ok(None),
        };
        let file = self.below(path);
        if let (Some(parent), Some(ours)) = (Path::new(path).parent(), file.parent())
            && parent.is_dir()
            && !self.mapping.is_own(path)
        {
            fs::create_dir_all(ours)?;
        }
        let file = file.to_string_lossy().into_owned();
        Ok(Some(match kind {
            "append" => Sink::Append(file),
            "truncate" => Sink::Truncate(file),
            _ => Sink::Over(file),
        }))
    }

    /// Whether the host path is one of our own executables.
    pub(super) fn is_ours(&self, path: &Path) -> bool {
        (self.is_literal() || path.starts_with(&self.directory))
            && fs::read_link(path).is_ok_and(|target| target == self.executable)
    }

    /// PATH with our commands first, mapped to the host.
    pub(super) fn path_variable(&self, path: &str) -> String {
        let mapped: Vec<String> =
            path.split(':').filter(|part| !part.is_empty()).map(|part| self.mapping.host_path(part)).collect();
        format!("{}/usr/bin:{}", self.commands.to_string_lossy(), mapped.join(":"))
    }

    pub(super) fn read(&self, path: &str) -> Option<Vec<u8>> {
        let bytes = fs::read(self.resolve(path)).ok()?;
        Some(self.back(bytes))
    }

    /// The first line of a file as it stands there: numbers in it are no ports. `None` if it cannot be read.
    pub(super) fn first_line(&self, path: &str) -> Option<String> {
        let mut line = String::new();
        let file = fs::File::open(self.resolve(path)).ok()?;
        // A PID needs no more.
        io::BufReader::new(io::Read::take(file, 64)).read_line(&mut line).ok()?;
        Some(line)
    }

    pub(super) fn stat(&self, path: &str) -> Option<PathKind> {
        let file = self.resolve(path);
        let meta = fs::metadata(&file).or_else(|_| fs::symlink_metadata(&file)).ok()?;
        Some(if meta.is_dir() {
            PathKind::Directory { empty: fs::read_dir(&file).is_ok_and(|mut entries| entries.next().is_none()) }
        } else if meta.is_file() {
            PathKind::File { executable: meta.mode() & 0o111 != 0, empty: meta.len() == 0 }
        } else if meta.is_symlink() {
            PathKind::Symlink
        } else {
            PathKind::Other
        })
    }

    /// What a console or script has written, in incident coordinates again.
    fn back(&self, bytes: Vec<u8>) -> Vec<u8> {
        match String::from_utf8(bytes) {
            Ok(text) => self.mapping.to_incident(&text).into_bytes(),
            Err(error) => error.into_bytes(),
        }
    }

    /// The unit directories as they are now.
    pub(super) fn unit_files(&mut self) -> io::Result<Files> {
        let mut files = Files::default();
        // The units of the machine's distribution are none of the incident's.
        let is_ours = |path: &&&str| !self.is_literal() || !DISTRIBUTION.contains(*path);
        let mut open: Vec<(String, PathBuf)> =
            UNIT_DIRECTORIES.iter().filter(is_ours).map(|&path| (path.to_owned(), self.below(path))).collect();
        while let Some((path, host)) = open.pop() {
            let Ok(entries) = fs::read_dir(&host) else { continue };
            for entry in entries.flatten() {
                let path = format!("{path}/{}", entry.file_name().to_string_lossy());
                let meta = entry.metadata()?;
                if meta.is_dir() {
                    open.push((path, entry.path()));
                } else if meta.is_symlink() {
                    let target = fs::read_link(entry.path())?.to_string_lossy().into_owned();
                    let target = self.mapping.to_incident(&target);
                    files.entries.insert(path, FileEntry::Symlink { target });
                } else if meta.is_file() {
                    let content = self.back(fs::read(entry.path())?);
                    let time = (meta.mtime(), meta.mtime_nsec());
                    let known = self.generations.entry(path.clone()).or_insert((time, 1));
                    if known.0 != time {
                        *known = (time, known.1 + 1);
                    }
                    files.entries.insert(path, FileEntry::Regular { content, generation: known.1 });
                }
            }
        }
        Ok(files)
    }
}
