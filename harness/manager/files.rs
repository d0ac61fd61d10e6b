//! `systemctl enable` and its siblings: which links to make and remove, and what systemctl says about it.

use super::interface::{Effect, Reply, RequestError, RequestErrorKind};
use super::load::definition;
use super::requests::FileChange;
use super::step::Step;
use crate::unit::{FileEntry, LoadState, Profile};

impl Step<'_> {
    /// Changes the links of units on disk. The manager sees the change when it reloads, as systemctl asks it to.
    pub(super) fn change_unit_files(&mut self, change: FileChange, units: &[String], runtime: bool) -> Reply {
        let dir = if runtime { "/run/systemd/system" } else { "/etc/systemd/system" };
        let mut effects = Vec::new();
        let mut lines = Vec::new();
        for name in units {
            if change == FileChange::Enable {
                // Looking for [Install] reads the file, with a warning for what stands in no known section.
                let def = definition(self.host.unit_files(), name, self.m.config.profile);
                self.warn_of_sections(name, &def);
            }
            let result = match change {
                FileChange::Enable => self.plan_enable(name, dir, &mut effects),
                FileChange::Disable => {
                    self.plan_disable(name, dir, &mut effects);
                    Ok(())
                }
                FileChange::Mask => self.plan_mask(name, dir, &mut effects),
                FileChange::Unmask => {
                    self.plan_unmask(name, dir, &mut effects);
                    Ok(())
                }
            };
            if let Err(error) = result {
                return Reply::Error(error);
            }
        }
        let old_words = self.m.config.profile == Profile::V252;
        for effect in &effects {
            lines.push(match effect {
                Effect::Symlink { path, target } if old_words => format!("Created symlink {path} → {target}."),
                Effect::Symlink { path, target } => format!("Created symlink '{path}' → '{target}'."),
                Effect::Remove { path } if old_words => format!("Removed \"{path}\"."),
                Effect::Remove { path } => format!("Removed '{path}'."),
                _ => continue,
            });
        }
        self.out.append(&mut effects);
        Reply::UnitFiles(lines)
    }

    fn plan_enable(&self, name: &str, dir: &str, effects: &mut Vec<Effect>) -> Result<(), RequestError> {
        let files = self.host.unit_files();
        let mut todo = vec![name.to_owned()];
        let mut done: Vec<String> = Vec::new();
        while let Some(name) = todo.pop() {
            if done.contains(&name) {
                continue;
            }
            let def = definition(files, &name, self.m.config.profile);
            match def.load_state {
                LoadState::NotFound => {
                    return Err(refuse(RequestErrorKind::NoSuchUnit, format!("Unit file {name} does not exist.")));
                }
                LoadState::Masked => {
                    return Err(refuse(RequestErrorKind::Masked, format!("Unit file {name} is masked.")));
                }
                LoadState::Error => {
                    let reason = def.load_error.unwrap_or_else(|| "Bad message".into());
                    return Err(refuse(RequestErrorKind::Failed, reason));
                }
                LoadState::Loaded | LoadState::BadSetting => {}
            }
            let Some(fragment) = def.fragment_path else { continue };
            let install = &def.install;
            let aliases = install.alias.iter().map(|alias| format!("{dir}/{alias}"));
            let wants = install.wanted_by.iter().map(|owner| format!("{dir}/{owner}.wants/{}", def.name));
            let requires = install.required_by.iter().map(|owner| format!("{dir}/{owner}.requires/{}", def.name));
            for path in aliases.chain(wants).chain(requires) {
                let there =
                    matches!(files.entries.get(&path), Some(FileEntry::Symlink { target }) if *target == fragment);
                if !there {
                    effects.push(Effect::Symlink { path, target: fragment.clone() });
                }
            }
            todo.extend(install.also.iter().cloned());
            done.push(name);
        }
        Ok(())
    }

    fn plan_disable(&self, name: &str, dir: &str, effects: &mut Vec<Effect>) {
        for (path, entry) in self.host.unit_files().entries.range(format!("{dir}/")..) {
            let Some(rest) = path.strip_prefix(dir).and_then(|rest| rest.strip_prefix('/')) else { break };
            let FileEntry::Symlink { target } = entry else { continue };
            let ours = match rest.split_once('/') {
                Some((owner, file)) => (owner.ends_with(".wants") || owner.ends_with(".requires")) && file == name,
                None => rest != name && target != "/dev/null" && target.rsplit('/').next() == Some(name),
            };
            if ours {
                effects.push(Effect::Remove { path: path.clone() });
            }
        }
    }

    fn plan_mask(&self, name: &str, dir: &str, effects: &mut Vec<Effect>) -> Result<(), RequestError> {
        let path = format!("{dir}/{name}");
        match self.host.unit_files().entries.get(&path) {
            None => effects.push(Effect::Symlink { path, target: "/dev/null".into() }),
            Some(FileEntry::Symlink { target }) if target == "/dev/null" => {}
            Some(_) => {
                return Err(refuse(RequestErrorKind::Failed, format!("File {path} already exists.")));
            }
        }
        Ok(())
    }

    fn plan_unmask(&self, name: &str, dir: &str, effects: &mut Vec<Effect>) {
        let path = format!("{dir}/{name}");
        if matches!(self.host.unit_files().entries.get(&path), Some(FileEntry::Symlink { target }) if target == "/dev/null")
        {
            effects.push(Effect::Remove { path });
        }
    }
}

fn refuse(kind: RequestErrorKind, message: String) -> RequestError {
    RequestError { kind, message }
}
