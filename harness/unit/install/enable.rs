//! Which symlinks `[Install]` asks for.

use super::Operation;
use super::failure::{Event, Failure};
use super::find::{self, Finder, Follow, Info, Mode};
use crate::unit::UnitType;
use crate::unit::load::SEARCH_PATH;
use crate::unit::name::{self, NameKind};
use crate::unit::{Profile, path};

impl Operation {
    /// Whether there was anything to enable.
    pub(super) fn enable(&mut self, names: &[String]) -> Result<bool, Failure> {
        self.enable_by(names, self.options.force)
    }

    /// As `enable`; `force` is whether symlinks that are in the way are replaced.
    pub(super) fn enable_by(&mut self, names: &[String], force: bool) -> Result<bool, Failure> {
        let given = std::mem::replace(&mut self.options.force, force);
        let result = self.enable_all(names);
        self.options.force = given;
        result
    }

    /// Makes a target the one that the machine boots into (systemctl(1), `set-default`).
    pub(super) fn set_default(&mut self, names: &[String]) -> Result<(), Failure> {
        const DEFAULT: &str = "default.target";
        let [name] = names else { return Err(Failure::Invalid) };
        if UnitType::of(name) != Some(UnitType::Target) || name == DEFAULT {
            return Err(Failure::Invalid);
        }
        let before = self.disk.clone();
        let context = self.context.clone();
        let mut finder = Finder::new(&before, self.options.profile, &context);
        let found = finder
            .add(name, false)
            .and_then(|start| finder.traverse(&start, Follow::All))
            .map_err(|failure| self.fail(failure, name, None));
        self.warnings.append(&mut finder.warnings);
        let found = found?;
        if let Err(event) = finder.may_process(&found) {
            let failure = if let Event::Failed { failure, .. } = &event { *failure } else { Failure::Invalid };
            self.events.push(event);
            return Err(failure);
        }
        let path = finder.info(&found).and_then(|info| info.path.clone()).unwrap_or_default();
        // Debian has its units in two places that are one since 257's day.
        let target = match path.strip_prefix("/usr/lib/systemd/") {
            Some(rest) if self.options.profile < Profile::V257 => format!("/lib/systemd/{rest}"),
            _ => path,
        };
        self.create(&target, &format!("/etc/systemd/system/{DEFAULT}"), true)
    }

    fn enable_all(&mut self, names: &[String]) -> Result<bool, Failure> {
        // The finder looks at the directories as they were; what it makes of them is applied to the copy.
        let before = self.disk.clone();
        let context = self.context.clone();
        let mut finder = Finder::new(&before, self.options.profile, &context);
        let result = self.enable_found(&mut finder, names);
        self.warnings.append(&mut finder.warnings);
        result
    }

    fn enable_found(&mut self, finder: &mut Finder<'_>, names: &[String]) -> Result<bool, Failure> {
        for name in names {
            let found = finder
                .add(name, false)
                .and_then(|start| finder.traverse(&start, Follow::All))
                .map_err(|failure| self.fail(failure, name, None))?;
            if let Err(event) = finder.may_process(&found) {
                let failure = if let Event::Failed { failure, .. } = &event { *failure } else { Failure::Invalid };
                self.events.push(event);
                return Err(failure);
            }
        }
        let mut result = Ok(false);
        while let Some(name) = finder.todo.pop_front() {
            if let Err(failure) = finder.traverse(&name, Follow::NotConfigured) {
                if finder.info(&name).is_some_and(|info| info.auxiliary) {
                    self.events.push(Event::AuxiliaryFailed { name });
                    continue;
                }
                return Err(self.fail(failure, &name, None));
            }
            let Some(info) = finder.info(&name).cloned() else { continue };
            match info.mode {
                Some(Mode::Masked) => {
                    self.events.push(Event::Masked { path: info.path.unwrap_or_default() });
                    result = result.map(|_| true);
                }
                Some(Mode::Regular) => {
                    let one = self.install(finder, &info);
                    result = result.and_then(|any| Ok(any | one?));
                }
                _ => {}
            }
        }
        result
    }

    /// Makes all symlinks `[Install]` asks for; says whether it asks for any.
    fn install(&mut self, finder: &Finder<'_>, info: &Info) -> Result<bool, Failure> {
        let file = info.path.clone().unwrap_or_default();
        if !SEARCH_PATH.contains(&path::split(&file).0) {
            self.create(&file, &format!("{}/{}", self.config_dir(), info.name), self.options.force)?;
        }
        let mut result = self.install_aliases(finder, info, &file);
        let lists: &[(&[String], &str)] =
            &[(&info.wanted_by, ".wants"), (&info.required_by, ".requires"), (&info.upheld_by, ".upholds")];
        for (list, suffix) in lists {
            let one = self.install_wants(finder, info, &file, list, suffix);
            // Up to 252 a failure after a success went unnoticed.
            let replace = match result {
                Ok(false) => true,
                Ok(true) => self.options.profile >= Profile::V257 && one != Ok(false),
                Err(_) => false,
            };
            if replace {
                result = one;
            }
        }
        result
    }

    fn install_aliases(&mut self, finder: &Finder<'_>, info: &Info, file: &str) -> Result<bool, Failure> {
        let mut result = Ok(false);
        let mut note = |one: Result<bool, Failure>| {
            if result.is_ok() {
                result = one;
            }
        };
        for alias in &info.alias {
            let alias = match finder.expand(&info.name, alias) {
                Ok(alias) => alias,
                Err(failure) => {
                    note(Err(self.fail(failure, alias, None)));
                    continue;
                }
            };
            match self.alias_name(&alias, info) {
                Ok(None) => {}
                Ok(Some(alias)) => {
                    let place = format!("{}/{alias}", self.config_dir());
                    note(self.create(file, &place, self.options.force).map(|()| true));
                }
                Err(failure) => note(Err(failure)),
            }
        }
        result
    }

    /// The name an `Alias=` gets, with the unit's instance; `None` if it is the unit's own.
    fn alias_name(&mut self, alias: &str, info: &Info) -> Result<Option<String>, Failure> {
        if let Some((dir, link)) = alias.rsplit_once('/') {
            // An old way to spell WantedBy= and RequiredBy=.
            let owner = dir.strip_suffix(".wants").or_else(|| dir.strip_suffix(".requires"));
            let Some(owner) = owner.and_then(name::kind) else {
                return Err(self.fail(Failure::CrossDevice, alias, None));
            };
            return if is_link_name(link, &info.name, owner == NameKind::Template) {
                Ok(Some(alias.to_owned()))
            } else {
                Err(self.fail(Failure::CrossDevice, alias, Some(&info.name)))
            };
        }
        let instance = name::instance(&info.name).filter(|instance| !instance.is_empty());
        let alias = match (name::kind(alias), instance) {
            (Some(NameKind::Template), Some(instance)) => {
                name::with_instance(alias, instance).ok_or(Failure::Invalid)?
            }
            _ => alias.to_owned(),
        };
        match find::verify_alias(&alias, &info.name) {
            Ok(true) => Ok(Some(alias)),
            Ok(false) => Ok(None),
            Err(failure) => Err(self.fail(failure, &alias, Some(&info.name))),
        }
    }

    fn install_wants(
        &mut self,
        finder: &Finder<'_>,
        info: &Info,
        file: &str,
        list: &[String],
        suffix: &str,
    ) -> Result<bool, Failure> {
        if list.is_empty() {
            return Ok(false);
        }
        let template = name::kind(&info.name) == Some(NameKind::Template);
        let link = match &info.default_instance {
            Some(instance) if template => {
                let link = name::with_instance(&info.name, instance).ok_or(Failure::Invalid)?;
                self.refuse_masked_instance(finder, &link)?;
                link
            }
            _ => info.name.clone(),
        };
        // A template without an instance can only be wanted by what gives it one.
        let needs_template = template && info.default_instance.is_none();
        let mut result = Ok(false);
        let mut note = |one: Result<bool, Failure>| {
            if result.is_ok() && one != Ok(false) {
                result = one;
            }
        };
        for owner in list {
            let owner = match finder.expand(&info.name, owner) {
                Ok(owner) => owner,
                Err(failure) => {
                    note(Err(self.fail(failure, owner, None)));
                    continue;
                }
            };
            match name::kind(&owner) {
                None => note(Err(self.fail(Failure::Unclean, &owner, None))),
                Some(NameKind::Plain) if needs_template => {
                    note(Err(self.fail(Failure::Template, &owner, Some(&link))));
                }
                Some(_) => {
                    let place = format!("{}/{owner}{suffix}/{link}", self.config_dir());
                    note(self.create(file, &place, true).map(|()| true));
                    if finder.exists(&owner) == Ok(false) {
                        self.events.push(Event::NoDestination { path: owner, source: file.to_owned() });
                    }
                }
            }
        }
        result
    }

    /// The default instance of a template may be masked although the template is not.
    fn refuse_masked_instance(&mut self, finder: &Finder<'_>, instance: &str) -> Result<(), Failure> {
        let mut one = Finder::new(finder.disk, finder.profile, finder.context);
        let name = one.add(instance, false)?;
        one.traverse(&name, Follow::All)?;
        match one.info(&name) {
            Some(info) if info.mode == Some(Mode::Masked) => {
                let place = info.path.clone().unwrap_or_default();
                Err(self.fail(Failure::Masked, &place, None))
            }
            _ => Ok(()),
        }
    }
}

/// Whether `link` in a `.wants` directory may stand for the unit.
fn is_link_name(link: &str, unit: &str, propagates_instance: bool) -> bool {
    let kind = name::kind(link);
    if link == unit {
        return matches!(kind, Some(NameKind::Plain | NameKind::Instance)) || propagates_instance;
    }
    kind == Some(NameKind::Instance) && name::template(link).as_deref() == Some(unit)
}
