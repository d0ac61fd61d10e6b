//! Verbs that only look: at one unit, or at what there is.

use crate::ctl::View;
use crate::unit::{SEARCH_PATH, install};

use super::options::Options;
use super::properties::Properties;
use super::{Listing, Systemctl, Task, list, loadable, sockets, status};

impl Systemctl {
    /// Does the verb for one unit.
    pub(super) fn look(&mut self, unit: &str, view: &dyn View) {
        if !loadable(unit) && self.options.verb != "cat" {
            let what = match self.options.verb.as_str() {
                "status" | "show" => "get properties",
                _ => "retrieve unit state",
            };
            self.output.complain(format!(
                "Failed to {what}: Unit name {unit} is neither a valid invocation ID nor unit name."
            ));
            self.output.code = 1;
            // Nothing that comes after it is looked at.
            return self.tasks.clear();
        }
        match self.options.verb.as_str() {
            "status" => self.status(unit, view),
            "show" => self.show(unit, view),
            "cat" => self.cat(unit, view),
            _ => {
                let properties = Properties::of(view, unit);
                let state = properties.some("ActiveState").unwrap_or("inactive");
                if !self.options.quiet {
                    self.output.say(state);
                }
                self.tally.known |= !properties.is_not_found();
                self.tally.good |= match self.options.verb.as_str() {
                    "is-failed" => state == "failed",
                    _ => matches!(state, "active" | "reloading"),
                };
            }
        }
    }

    fn status(&mut self, unit: &str, view: &dyn View) {
        let properties = Properties::of(view, unit);
        if properties.is_not_found() {
            self.output.complain(format!("Unit {unit} could not be found."));
            return self.fail(4);
        }
        self.set_apart();
        status::write(&mut self.output.stdout, &properties, &self.options, self.version, view);
        if properties.flag("NeedDaemonReload") {
            self.warn_changed(unit);
        }
        if !matches!(properties.get("ActiveState"), "active" | "reloading") {
            self.fail(3);
        }
    }

    fn show(&mut self, unit: &str, view: &dyn View) {
        self.set_apart();
        let properties = Properties::of(view, unit);
        let lines: Vec<(&str, &str)> = properties.iter().collect();
        self.show_properties(lines);
    }

    fn show_properties<'a>(&mut self, properties: impl IntoIterator<Item = (&'a str, &'a str)>) {
        let Options { properties: asked, value_only, all, .. } = &self.options;
        let mut lines = Vec::new();
        for (key, value) in properties {
            let wanted = asked.as_ref().is_none_or(|asked| asked.iter().any(|name| name == key));
            // An empty value is shown to who asked for it.
            if wanted && (!value.is_empty() || *all || asked.is_some()) {
                lines.push(if *value_only { value.to_owned() } else { format!("{key}={value}") });
            }
        }
        for line in lines {
            self.output.say(line);
        }
    }

    fn cat(&mut self, unit: &str, view: &dyn View) {
        let files = view.files();
        let properties = Properties::of(view, unit);
        // A template is no unit: its files are looked for on disk.
        let template = !loadable(unit);
        let fragment = SEARCH_PATH.iter().map(|dir| format!("{dir}/{unit}")).find(|path| files.read(path).is_some());
        let paths: Vec<String> = match properties.get("LoadState") {
            _ if template => fragment.into_iter().collect(),
            "masked" => return self.output.say(format!("# Unit {unit} is masked.")),
            "not-found" | "" => Vec::new(),
            "loaded" | "bad-setting" => {
                let drop_ins = properties.list("DropInPaths").into_iter();
                properties.some("FragmentPath").map(str::to_owned).into_iter().chain(drop_ins).collect()
            }
            _ => return self.output.say(format!("# Unit {unit} could not be loaded.")),
        };
        if paths.is_empty() {
            self.output.complain(format!("No files found for {unit}."));
            return self.fail(1);
        }
        self.set_apart();
        if !template && properties.flag("NeedDaemonReload") {
            for line in [
                format!("# Warning: {unit} changed on disk, the version systemd has loaded is outdated."),
                "# This output shows the current version of the unit's original fragment and drop-in files.".to_owned(),
                "# If fragments or drop-ins were added or removed, they are not properly reflected in this output."
                    .to_owned(),
                "# Run 'systemctl daemon-reload' to reload units.".to_owned(),
            ] {
                self.output.complain(line);
            }
        }
        for (number, path) in paths.iter().enumerate() {
            if number > 0 {
                self.output.say("");
            }
            self.output.say(format!("# {path}"));
            match files.read(path) {
                Some(content) => self.output.stdout.extend_from_slice(content),
                None => {
                    self.output.complain(format!("Failed to cat {path}: No such file or directory"));
                    self.fail(1);
                }
            }
        }
    }

    /// An empty line between two units.
    pub(super) fn set_apart(&mut self) {
        if std::mem::replace(&mut self.printed, true) {
            self.output.say("");
        }
    }

    /// Says so if there is no such unit: a mask can come first.
    pub(super) fn exists(&mut self, unit: &str, view: &dyn View) {
        let properties = Properties::of(view, unit);
        let found = if loadable(unit) { !properties.is_not_found() } else { view.unit_file_state(unit).is_some() };
        if !found {
            self.output.complain(format!("Unit {unit} does not exist, proceeding anyway."));
        }
    }

    pub(super) fn is_enabled(&mut self, unit: &str, state: Option<String>, view: &dyn View) {
        self.tally.known |= state.is_some();
        let state = match state {
            Some(bad) if bad == "bad" => {
                self.output.complain(format!("Failed to get unit file state for {unit}: Bad message"));
                self.output.code = 1;
                return self.tasks.clear();
            }
            Some(state) => state,
            None if self.version >= 253 => "not-found".to_owned(),
            None => {
                self.output.complain(format!("Failed to get unit file state for {unit}: No such file or directory"));
                self.output.code = 1;
                return self.tasks.clear();
            }
        };
        let enabled = ["enabled", "enabled-runtime", "static", "alias", "indirect", "generated"];
        self.tally.good |= enabled.contains(&state.as_str());
        if self.options.quiet {
            return;
        }
        self.output.say(state);
        if self.options.full {
            // Whatever disabling it would remove.
            let options =
                install::Options { profile: view.profile(), runtime: self.options.runtime, ..Default::default() };
            let outcome = install::run(install::Verb::Disable, view.files(), &[unit], options);
            for change in outcome.changes {
                if let install::Change::Remove { path } = change {
                    self.output.say(format!("  {path}"));
                }
            }
        }
    }

    pub(super) fn list(&mut self, listing: Listing, view: &dyn View) {
        match listing {
            Listing::Units => list::units(&mut self.output, &self.options, self.version, view),
            Listing::UnitFiles => {
                let count = list::unit_files(&mut self.output, &self.options, view);
                if count == 0 {
                    self.fail(1);
                }
            }
            Listing::Jobs => list::jobs(&mut self.output, &self.options, self.version, view),
            Listing::Sockets => sockets::sockets(&mut self.output, &self.options, self.version, view),
            Listing::Others => {
                let verb = &self.options.verb;
                if let Err(unit) = sockets::none_of(verb, &mut self.output, &self.options, view) {
                    self.output.complain(format!("systemctl: {verb} is not supported: {unit} does nothing here"));
                    self.fail(1);
                }
            }
            Listing::Machine => {
                if self.options.states.is_empty() && self.options.types.is_empty() {
                    status::machine(&mut self.output, self.version, self.options.glyphs, view);
                    self.printed = true;
                }
                if self.options.all || !self.options.states.is_empty() || !self.options.types.is_empty() {
                    self.tasks.push_back(Task::Expand(Vec::new()));
                }
            }
            Listing::SystemState | Listing::IsSystemFailed => {
                let state = list::system_state(view);
                if !self.options.quiet {
                    self.output.say(state);
                }
                let good = if listing == Listing::SystemState { "running" } else { "degraded" };
                self.fail(u8::from(state != good));
            }
            Listing::ManagerProperties => {
                let properties = list::manager_properties(self.version, view);
                self.show_properties(properties.iter().map(|(key, value)| (*key, value.as_str())));
            }
            Listing::DefaultTarget => self.output.say(crate::manager::default_target(view.files())),
            Listing::Tally => {
                let unknown = !self.tally.known && self.version >= 253;
                let code = match self.options.verb.as_str() {
                    _ if self.tally.good => 0,
                    _ if unknown => 4,
                    "is-active" | "check" => 3,
                    _ => 1,
                };
                self.fail(code);
            }
        }
    }
}
