//! Finding a unit's files in the unit directories (systemd.unit(5), "Unit File Load Path"; SPEC 1.5).

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::name::{self, NameKind, UnitType};
use super::path;
use super::read::{Draft, unread_service};
use super::specifier::Context;
use super::{Errno, FileEntry, Files, LoadState, Profile, Unit};

/// Where the system manager looks for units, highest priority first.
pub const SEARCH_PATH: [&str; 12] = [
    "/etc/systemd/system.control",
    "/run/systemd/system.control",
    "/run/systemd/transient",
    "/run/systemd/generator.early",
    "/etc/systemd/system",
    "/etc/systemd/system.attached",
    "/run/systemd/system",
    "/run/systemd/system.attached",
    "/run/systemd/generator",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/run/systemd/generator.late",
];

/// Aliases of aliases systemd follows.
const MOST_ALIASES: usize = 8;

/// Loads a unit as the manager of this version does, on a machine with the default [`Context`].
pub fn load(files: &Files, name: &str, profile: Profile) -> Unit {
    Loader::new(profile).load(files, name)
}

impl Unit {
    /// Reads the text of a unit file, as if it lay in `/etc/systemd/system` and had no drop-ins.
    pub fn parse(name: &str, text: impl AsRef<[u8]>, profile: Profile) -> Unit {
        Loader::new(profile).parse(name, text.as_ref())
    }
}

/// Loads units for one version of systemd on one machine.
#[derive(Clone, Debug, Default)]
pub struct Loader {
    profile: Profile,
    context: Context,
}

impl Loader {
    /// A loader with the words and rules of this version.
    pub fn new(profile: Profile) -> Self {
        Self { profile, context: Context::default() }
    }

    /// The same for another machine: what specifiers stand for.
    #[must_use]
    pub fn context(mut self, context: Context) -> Self {
        self.context = context;
        self
    }

    /// Reads one text as the unit's file in `/etc/systemd/system`.
    pub fn parse(&self, name: &str, bytes: &[u8]) -> Unit {
        self.parse_files(name, &format!("/etc/systemd/system/{name}"), bytes, &[])
    }

    /// Reads a fragment and drop-ins given by path and content; the drop-ins must be in the order they apply.
    pub fn parse_files(&self, name: &str, path: &str, bytes: &[u8], drop_ins: &[(String, &[u8])]) -> Unit {
        match UnitType::of(name) {
            None => self.unusable(name, LoadState::Error, format!("Unit name {name} is not valid.")),
            Some(_) if bytes.is_empty() => Unit { fragment_path: Some(path.to_owned()), ..self.masked(name) },
            Some(kind) => {
                let draft = Draft::new(name, kind, self.profile, &self.context);
                draft.read_all(Some((path, bytes)), name, &[], drop_ins)
            }
        }
    }

    /// Loads a unit by one of its names: fragment, aliases, mask, drop-ins, `.wants` and `.requires`.
    ///
    /// A unit that was asked for by an alias comes back under its own name, with the alias in [`Unit::aliases`].
    pub fn load(&self, files: &Files, name: &str) -> Unit {
        self.load_from(files, &Index::of(files), name)
    }

    /// The same, for many units of the same files: `index` is what is there of them all.
    pub fn load_from(&self, files: &Files, index: &Index, name: &str) -> Unit {
        let kind = match (name::kind(name), UnitType::of(name)) {
            (Some(NameKind::Template), _) => {
                let text = format!("Unit name {name} is missing the instance name.");
                return self.unusable(name, LoadState::Error, text);
            }
            (Some(_), Some(kind)) => kind,
            _ => return self.unusable(name, LoadState::Error, format!("Unit name {name} is not valid.")),
        };
        let fragment = index.fragment_of(name);
        let content = fragment.as_deref().map(|path| (path, files.read(path)));
        let optional = matches!(kind, UnitType::Slice | UnitType::Scope | UnitType::Device);
        let (id, aliases) = index.names(files, name, fragment.as_deref());
        let mut unit = match content {
            None if !optional => self.unusable(name, LoadState::NotFound, format!("Unit {name} not found.")),
            Some((path, None)) => {
                let mut unit = self.unusable(name, LoadState::NotFound, format!("Unit {name} not found."));
                unit.warnings.push(super::Warning {
                    subject: name.to_owned(),
                    line: None,
                    priority: 5,
                    errno: Some(Errno::ENOENT),
                    text: format!("Failed to open {path}: {}", Errno::ENOENT),
                });
                unit
            }
            Some((path, Some([]))) => Unit { fragment_path: Some(path.to_owned()), aliases, ..self.masked(&id) },
            content => {
                let fragment = content.and_then(|(path, bytes)| Some((path, bytes?)));
                let paths = drop_in_paths(files, index, &id, &aliases, kind, ".d", |name| name.ends_with(".conf"));
                let drop_ins: Vec<(String, &[u8])> = paths
                    .into_iter()
                    .map(|path| (files.read(&path).unwrap_or_default(), path))
                    .map(|(b, p)| (p, b))
                    .collect();
                Draft::new(name, kind, self.profile, &self.context).read_all(fragment, &id, &aliases, &drop_ins)
            }
        };
        let all = drop_in_paths(files, index, &id, &unit.aliases, kind, ".d", |_| true);
        unit.drop_in_dirs = all.iter().map(|path| path::split(path).0.to_owned()).collect();
        unit.drop_in_dirs.dedup();
        self.add_links(files, index, kind, &mut unit);
        unit
    }

    /// A unit of which only the name is known, and why.
    fn unusable(&self, name: &str, load_state: LoadState, text: String) -> Unit {
        Unit {
            name: name.to_owned(),
            profile: self.profile,
            load_state,
            load_error: Some(text),
            service: name.ends_with(".service").then(unread_service),
            socket: name.ends_with(".socket").then(Default::default),
            ..Unit::default()
        }
    }

    fn masked(&self, name: &str) -> Unit {
        self.unusable(name, LoadState::Masked, format!("Unit {name} is masked."))
    }

    /// `.wants` and `.requires` directories: the unit's own, and those of others that name it.
    fn add_links(&self, files: &Files, index: &Index, kind: UnitType, unit: &mut Unit) {
        let Unit { name, aliases, wants, requires, wanted_by, required_by, .. } = unit;
        for (suffix, own, links, others) in
            [(".wants", wants, &index.wanted_by, wanted_by), (".requires", requires, &index.required_by, required_by)]
        {
            let masked = |path: &str| files.read(path).is_some_and(<[u8]>::is_empty);
            if unit.load_state == LoadState::Loaded {
                let mut known: HashSet<String> = own.iter().cloned().collect();
                for path in drop_in_paths(files, index, name, aliases, kind, suffix, |_| true) {
                    let entry = path::split(&path).1;
                    let is_link = matches!(files.entries.get(&path), Some(FileEntry::Symlink { .. }));
                    if is_link && name::is_valid(entry) && !masked(&path) && known.insert(entry.to_owned()) {
                        own.push(entry.to_owned());
                    }
                }
            }
            let named = std::iter::once(&*name).chain(&*aliases).filter_map(|name| links.get(name)).flatten();
            let mut found: Vec<&(usize, String)> = named.collect();
            found.sort_unstable();
            let mut known: HashSet<&str> = HashSet::new();
            others.extend(found.into_iter().map(|(_, owner)| owner).filter(|owner| known.insert(owner)).cloned());
        }
    }
}

/// What a name in the unit directories stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Target {
    /// A unit file, or a link to one outside of the unit directories.
    File(String),
    /// A symlink to another unit.
    Alias(String),
}

/// Everything in the unit directories, by name: looked through once, however many units are loaded from them.
#[derive(Clone, Debug, Default)]
pub struct Index {
    /// Those of [`SEARCH_PATH`] in which there is anything, highest priority first.
    directories: Vec<&'static str>,
    names: BTreeMap<String, Target>,
    /// The aliases that lead to a file, by its path.
    aliases: HashMap<String, Vec<String>>,
    /// Whose `.wants` directories a name is in, with the rank of the first of them.
    wanted_by: Links,
    required_by: Links,
}

/// Owners of directories and the ranks of these, by the names that are in them.
type Links = HashMap<String, Vec<(usize, String)>>;

impl Index {
    /// What these files are.
    pub fn of(files: &Files) -> Self {
        let is_there = |dir: &&str| files.canonical(dir).is_some_and(|dir| files.children(&dir).next().is_some());
        let directories: Vec<&str> = SEARCH_PATH.into_iter().filter(is_there).collect();
        let mut index = Self::default();
        for &dir in &directories {
            for (name, entry) in files.list(dir) {
                if !name::is_valid(name) {
                    continue;
                }
                // The first directory wins; a symlink that makes no sense leaves room for the next.
                if let Entry::Vacant(vacant) = index.names.entry(name.to_owned()) {
                    let target = match entry {
                        FileEntry::Regular { .. } => Some(Target::File(format!("{dir}/{name}"))),
                        FileEntry::Symlink { target } => link_target(dir, name, target),
                    };
                    if let Some(target) = target {
                        vacant.insert(target);
                    }
                }
            }
        }
        let aliases = index.names.iter().filter(|(_, target)| matches!(target, Target::Alias(_)));
        let mut by_file: HashMap<String, Vec<String>> = HashMap::new();
        for (alias, path) in aliases.filter_map(|(name, _)| Some((name, index.file_of(name)?))) {
            by_file.entry(path.to_owned()).or_default().push(alias.clone());
        }
        index.aliases = by_file;
        index.directories = directories;
        index.find_links(files);
        index
    }

    fn find_links(&mut self, files: &Files) {
        let mut rank = 0;
        for &dir in &self.directories {
            for (relative, _) in files.children(dir) {
                let Some((owner, entry)) = relative.split_once('/') else { continue };
                let (owner, links) = match (owner.strip_suffix(".wants"), owner.strip_suffix(".requires")) {
                    (Some(owner), _) => (owner, &mut self.wanted_by),
                    (_, Some(owner)) => (owner, &mut self.required_by),
                    (None, None) => continue,
                };
                let usable = matches!(name::kind(owner), Some(NameKind::Plain | NameKind::Instance));
                let masked = || files.read(&format!("{dir}/{relative}")).is_some_and(<[u8]>::is_empty);
                if usable && name::is_valid(entry) && !masked() {
                    rank += 1;
                    links.entry(entry.to_owned()).or_default().push((rank, owner.to_owned()));
                }
            }
        }
    }

    /// Follows aliases to a file. An instance that is only an alias's target is looked for under its template.
    fn file_of(&self, name: &str) -> Option<&str> {
        let mut target = self.names.get(name)?;
        for _ in 0..MOST_ALIASES {
            match target {
                Target::File(path) => return Some(path),
                Target::Alias(next) => {
                    target = self.names.get(next).or_else(|| self.names.get(&name::template(next)?))?;
                }
            }
        }
        None
    }

    fn fragment_of(&self, name: &str) -> Option<String> {
        self.file_of(name).or_else(|| self.file_of(&name::template(name)?)).map(str::to_owned)
    }

    /// The unit's own name, from its fragment, and its other names.
    fn names(&self, files: &Files, asked: &str, fragment: Option<&str>) -> (String, Vec<String>) {
        let Some(fragment) = fragment else { return (asked.to_owned(), Vec::new()) };
        let file_name = path::split(fragment).1;
        let instance = name::instance(asked).unwrap_or_default();
        let id = match name::kind(file_name) {
            Some(NameKind::Template) => name::with_instance(file_name, instance).unwrap_or_else(|| asked.to_owned()),
            _ => file_name.to_owned(),
        };
        let mut others: BTreeSet<String> = BTreeSet::new();
        let mut add = |name: String| {
            if name != id {
                others.insert(name);
            }
        };
        add(asked.to_owned());
        if files.read(fragment).is_some_and(<[u8]>::is_empty) {
            return (id.clone(), others.into_iter().collect());
        }
        for name in self.aliases.get(fragment).into_iter().flatten() {
            let alias = match name::kind(name) {
                // A template's alias is an alias of each of its instances, unless that has a file of its own.
                Some(NameKind::Template) => name::with_instance(name, instance)
                    .filter(|alias| self.file_of(alias).is_none_or(|path| path == fragment)),
                Some(NameKind::Instance) if file_name != id => {
                    (name::instance(name) == Some(instance)).then(|| name.clone())
                }
                _ => Some(name.clone()),
            };
            if let Some(alias) = alias {
                add(alias);
            }
        }
        (id.clone(), others.into_iter().collect())
    }
}

/// What a symlink in a unit directory means; `None` if systemd ignores it.
fn link_target(dir: &str, name: &str, target: &str) -> Option<Target> {
    let target = path::absolute(dir, target);
    let inside = SEARCH_PATH.iter().any(|dir| target.strip_prefix(dir).is_some_and(|rest| rest.starts_with('/')));
    if !inside {
        return Some(Target::File(format!("{dir}/{name}")));
    }
    let other = path::split(&target).1;
    may_be_alias(name, other).then(|| Target::Alias(other.to_owned()))
}

/// Whether `name` may be a symlink to the unit `other`.
pub(super) fn may_be_alias(name: &str, other: &str) -> bool {
    let (Some(kind), Some(unit)) = (name::kind(name), UnitType::of(name)) else { return false };
    let Some(other_kind) = name::kind(other) else { return false };
    name != other
        && unit.may_alias()
        && (kind == NameKind::Plain || unit.may_template())
        && (kind == other_kind || (kind == NameKind::Instance && other_kind == NameKind::Template))
        && (other_kind != NameKind::Instance || name::instance(name) == name::instance(other))
        && UnitType::of(other) == Some(unit)
}

/// The files of all directories that belong to a unit (`U.d`, its template's, its prefixes', then the aliases', then
/// the type's), in order of their names; of one name, the first directory's.
fn drop_in_paths(
    files: &Files,
    index: &Index,
    id: &str,
    aliases: &[String],
    kind: UnitType,
    suffix: &str,
    wanted: impl Fn(&str) -> bool,
) -> Vec<String> {
    let mut found: BTreeMap<String, String> = BTreeMap::new();
    let mut look = |dir: String| {
        let Some(real) = files.canonical(&dir) else { return };
        for (name, _) in files.list(&real) {
            if wanted(name)
                && let Entry::Vacant(vacant) = found.entry(name.to_owned())
            {
                vacant.insert(format!("{real}/{name}"));
            }
        }
    };
    for name in std::iter::once(id).chain(aliases.iter().map(String::as_str)) {
        let owners = owners(name);
        for dir in &index.directories {
            owners.iter().for_each(|owner| look(format!("{dir}/{owner}{suffix}")));
        }
    }
    for dir in &index.directories {
        look(format!("{dir}/{}{suffix}", kind.as_str()));
    }
    found.into_values().collect()
}

/// Whose directories apply to a name, most specific first: itself, its template, then shorter and shorter prefixes.
fn owners(unit: &str) -> Vec<String> {
    let instance = name::instance(unit).filter(|instance| !instance.is_empty());
    let suffix = name::suffix(unit);
    let mut all: Vec<String> = Vec::new();
    let mut add = |name: String| {
        if !all.contains(&name) {
            all.push(name);
        }
    };
    let Some(instance) = instance else {
        add(unit.to_owned());
        prefixes(name::prefix(unit)).skip(1).for_each(|prefix| add(format!("{prefix}{suffix}")));
        return all;
    };
    // An instance's template has prefixes of its own, and they are plain names.
    for prefix in prefixes(name::prefix(unit)) {
        add(format!("{prefix}@{instance}{suffix}"));
        add(format!("{prefix}@{suffix}"));
        prefixes(&prefix).skip(1).for_each(|shorter| add(format!("{shorter}{suffix}")));
    }
    all
}

/// The prefix and what is left of it at each dash.
fn prefixes(prefix: &str) -> impl Iterator<Item = String> {
    std::iter::successors(Some(prefix.to_owned()), |prefix| shorter_prefix(prefix))
}

/// `a-b-` for `a-b-c`, `a-` for `a-b-`; `None` without a dash to cut at.
fn shorter_prefix(prefix: &str) -> Option<String> {
    let body = prefix.strip_suffix('-').unwrap_or(prefix);
    match body.rfind('-') {
        None | Some(0) => None,
        Some(dash) => Some(body[..=dash].to_owned()),
    }
}
