//! `UnitFileState`: whether a unit is enabled (systemctl(1), `is-enabled`).

use std::collections::HashSet;

use super::failure::Failure;
use super::find::{self, Finder, Follow, Info, Mode};
use crate::unit::load::SEARCH_PATH;
use crate::unit::name::{self, NameKind};
use crate::unit::specifier::Context;
use crate::unit::{FileEntry, Files, Profile, Warning, path};

/// What `systemctl is-enabled` prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each is the word of the same name")]
pub enum UnitFileState {
    Enabled,
    EnabledRuntime,
    Linked,
    LinkedRuntime,
    Alias,
    Masked,
    MaskedRuntime,
    Static,
    Disabled,
    Indirect,
    Generated,
    Transient,
    /// The file cannot be read as a unit file.
    Bad,
    /// There is no such file.
    NotFound,
}

impl UnitFileState {
    /// systemd's spelling.
    pub const fn as_str(self) -> &'static str {
        match self {
            UnitFileState::Enabled => "enabled",
            UnitFileState::EnabledRuntime => "enabled-runtime",
            UnitFileState::Linked => "linked",
            UnitFileState::LinkedRuntime => "linked-runtime",
            UnitFileState::Alias => "alias",
            UnitFileState::Masked => "masked",
            UnitFileState::MaskedRuntime => "masked-runtime",
            UnitFileState::Static => "static",
            UnitFileState::Disabled => "disabled",
            UnitFileState::Indirect => "indirect",
            UnitFileState::Generated => "generated",
            UnitFileState::Transient => "transient",
            UnitFileState::Bad => "bad",
            UnitFileState::NotFound => "not-found",
        }
    }

    /// Whether `systemctl is-enabled` exits with 0.
    pub const fn counts_as_enabled(self) -> bool {
        matches!(
            self,
            UnitFileState::Enabled
                | UnitFileState::EnabledRuntime
                | UnitFileState::Static
                | UnitFileState::Alias
                | UnitFileState::Indirect
                | UnitFileState::Generated
        )
    }
}

impl std::fmt::Display for UnitFileState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The state of a unit file; what cannot be looked up is `not-found` or `bad`.
pub fn unit_file_state(files: &Files, name: &str, profile: Profile) -> UnitFileState {
    match look_up(files, name, profile).0 {
        Ok(state) => state,
        Err(Failure::NotFound) => UnitFileState::NotFound,
        Err(_) => UnitFileState::Bad,
    }
}

/// The state of a unit file, or why there is none: `systemctl is-enabled` of 252 says
/// `Failed to get unit file state for NAME: FAILURE`. Reading the file logs once more what is wrong with its lines.
pub fn look_up(files: &Files, name: &str, profile: Profile) -> (Result<UnitFileState, Failure>, Vec<Warning>) {
    let context = Context::default();
    let mut finder = Finder::new(files, profile, &context);
    let state = state(&mut finder, name);
    (state, finder.warnings)
}

fn state(finder: &mut Finder<'_>, name: &str) -> Result<UnitFileState, Failure> {
    let start = finder.add(name, false)?;
    let found = finder.traverse(&start, Follow::All)?;
    let info = finder.info(&found).ok_or(Failure::NotFound)?.clone();
    let place = info.path.clone().unwrap_or_default();
    let (dir, file) = path::split(&place);
    if info.mode == Some(Mode::Masked) {
        return Ok(if find::is_runtime(&place) { UnitFileState::MaskedRuntime } else { UnitFileState::Masked });
    }
    if name != file && name::kind(&info.name) != Some(NameKind::Instance) {
        return Ok(UnitFileState::Alias);
    }
    if find::is_generator_dir(dir) {
        return Ok(UnitFileState::Generated);
    }
    if find::is_transient_dir(dir) {
        return Ok(UnitFileState::Transient);
    }
    if let Some(state) = symlinks(finder.disk, &info, finder.profile, true) {
        return Ok(state);
    }
    // Known under another name than [Install] gives it: somebody uses it.
    if symlinks(finder.disk, &info, finder.profile, false).is_some() {
        return Ok(UnitFileState::Indirect);
    }
    Ok(if info.has_rules() {
        UnitFileState::Disabled
    } else if !info.also.is_empty() {
        UnitFileState::Indirect
    } else {
        UnitFileState::Static
    })
}

/// What a directory says about a unit.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Finding {
    Nothing,
    /// A symlink of the unit's own name, to the unit: it is linked.
    SameName,
    Symlink,
}

fn symlinks(disk: &Files, info: &Info, profile: Profile, match_name: bool) -> Option<UnitFileState> {
    let place = info.path.as_deref().unwrap_or_default();
    let (mut linked, mut linked_runtime, mut enabled_runtime, mut enabled_at_all) = (false, false, false, false);
    let known = match_name.then(|| known_names(info));
    // Symlinks of the unit's name in directories after its own are without effect.
    let mut below = false;
    for dir in SEARCH_PATH {
        match symlinks_in(disk, info, profile, dir, known.as_ref(), below) {
            Finding::Symlink if dir == "/etc/systemd/system" => return Some(UnitFileState::Enabled),
            Finding::Symlink if find::is_runtime(dir) => enabled_runtime = true,
            Finding::Symlink => enabled_at_all = true,
            Finding::SameName if dir == "/etc/systemd/system" => linked = true,
            Finding::SameName if find::is_runtime(dir) => linked_runtime = true,
            Finding::SameName | Finding::Nothing => {}
        }
        below |= place.strip_prefix(dir).is_some_and(|rest| rest.starts_with('/'));
    }
    if enabled_runtime {
        Some(UnitFileState::EnabledRuntime)
    } else if enabled_at_all && name::kind(&info.name) == Some(NameKind::Instance) {
        Some(UnitFileState::Static)
    } else if linked {
        Some(UnitFileState::Linked)
    } else {
        linked_runtime.then_some(UnitFileState::LinkedRuntime)
    }
}

fn symlinks_in(
    disk: &Files,
    info: &Info,
    profile: Profile,
    dir: &str,
    known: Option<&HashSet<String>>,
    below: bool,
) -> Finding {
    let counts = |link: &str| known.is_none_or(|known| known.contains(link));
    let Some(real) = disk.canonical(dir) else { return Finding::Nothing };
    let mut same_name = Finding::Nothing;
    let mut linked = false;
    for (relative, entry) in disk.children(&real) {
        let FileEntry::Symlink { target } = entry else { continue };
        match relative.split_once('/') {
            // In U.wants/ and its like the name of the symlink alone counts.
            Some((owner, link)) => {
                let suffixes: &[&str] = if profile >= Profile::V257 {
                    &[".wants", ".requires", ".upholds"]
                } else {
                    &[".wants", ".requires"]
                };
                let fits = suffixes.iter().any(|suffix| owner.ends_with(suffix)) && !link.contains('/');
                let named = link == info.name || name::template(link).as_deref() == Some(info.name.as_str());
                if fits && named && counts(link) {
                    return Finding::Symlink;
                }
            }
            None => {
                let to_it = path::split(target).1 == info.name || target == &info.name;
                let named = !below && relative == info.name;
                if named && to_it {
                    same_name = Finding::SameName;
                } else if (named || to_it) && counts(relative) {
                    linked = true;
                }
            }
        }
    }
    if linked { Finding::Symlink } else { same_name }
}

/// The names of the symlinks that `[Install]` would give the unit.
fn known_names(info: &Info) -> HashSet<String> {
    let template = name::kind(&info.name) == Some(NameKind::Template);
    let instance = info.default_instance.as_deref().filter(|_| template);
    let instance = instance.and_then(|instance| name::with_instance(&info.name, instance));
    info.alias.iter().chain([&info.name]).cloned().chain(instance).collect()
}
