//! A unit as rules see it: its files line by line, what came of them, and what was found.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashSet};
use std::ops::Range;

use super::program::Command;
use super::rules::{self, Rule, Severity};
use super::{MOST_FINDINGS, Options, Spot};
use crate::manager::Exit;
use crate::unit::name;
use crate::unit::{
    Files, Item, ItemKind, KeyKind, LoadState, Outline, Service, Unit, UnitType, Warning, expand, key_kind, load,
};
use crate::world::Prediction;

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Which.
    pub rule: &'static Rule,
    /// How much it matters.
    pub severity: Severity,
    /// The path of the file, in the unit directories.
    pub file: String,
    /// The bytes of the file that are wrong.
    pub span: Range<usize>,
    /// Why, in a sentence or two.
    pub message: String,
    /// A few words that stand beside the place.
    pub label: String,
    /// Text to paste.
    pub fix: Option<String>,
}

/// One of the unit's files.
#[derive(Debug)]
pub(super) struct File {
    pub path: String,
    pub outline: Outline,
    /// Rules that are switched off for the line of a key, by the byte at which it begins, and for the whole file.
    allowed: BTreeMap<usize, Vec<String>>,
    allowed_everywhere: Vec<String>,
}

/// A command of an Exec line and where that is.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub key: &'static str,
    pub spot: Spot,
    pub command: Command,
    /// `-`
    pub ignores_failure: bool,
    /// `+`, `!` and `!!` run it as root.
    pub privileged: bool,
}

/// A unit that is looked at.
pub(super) struct Sheet<'a> {
    pub all: &'a Files,
    pub options: &'a Options,
    pub unit: Unit,
    pub kind: UnitType,
    pub files: Vec<File>,
    pub lines: Vec<Line>,
    /// What systemd warns about, by file and line: places in the unit's list of warnings.
    warnings: BTreeMap<(usize, u32), Vec<usize>>,
    /// Lines that systemd warns about and a rule has explained.
    explained: HashSet<(usize, u32)>,
    found: Vec<(usize, Finding)>,
    /// What was asked of the manager so far.
    pub courses: RefCell<Vec<(Exit, Prediction)>>,
}

/// The instance that a template is looked at with.
const INSTANCE: &str = "i";
/// More commands than a unit has.
const MOST_COMMANDS: usize = 1000;
/// Exec keys, in the order of their phases.
pub(super) const EXEC_KEYS: [&str; 8] = [
    "ExecCondition",
    "ExecStartPre",
    "ExecStart",
    "ExecStartPost",
    "ExecReload",
    "ExecReloadPost",
    "ExecStop",
    "ExecStopPost",
];

impl<'a> Sheet<'a> {
    pub(super) fn new(all: &'a Files, asked: &str, options: &'a Options) -> Self {
        let instance = match name::kind(asked) {
            Some(name::NameKind::Template) => name::with_instance(asked, INSTANCE),
            _ => None,
        };
        let unit = load(all, instance.as_deref().unwrap_or(asked), options.profile);
        let paths = unit.fragment_path.iter().chain(&unit.drop_in_paths);
        let files: Vec<File> = paths.map(|path| File::read(path, all.read(path).unwrap_or_default())).collect();
        let kind = UnitType::of(&unit.name).unwrap_or(UnitType::Service);
        let mut sheet = Sheet {
            all,
            options,
            unit,
            kind,
            files,
            lines: Vec::new(),
            warnings: BTreeMap::new(),
            explained: HashSet::new(),
            found: Vec::new(),
            courses: RefCell::default(),
        };
        let number: BTreeMap<&str, usize> =
            sheet.files.iter().enumerate().map(|(index, file)| (file.path.as_str(), index)).collect();
        for (index, warning) in sheet.unit.warnings.iter().enumerate() {
            if let (Some(file), Some(line)) = (number.get(warning.subject.as_str()), warning.line) {
                sheet.warnings.entry((*file, line)).or_default().push(index);
            }
        }
        sheet.lines = sheet.exec_lines();
        sheet
    }

    /// Whether it was loaded, so that it makes sense to ask what it does.
    pub(super) fn is_usable(&self) -> bool {
        self.unit.load_state == LoadState::Loaded
    }

    pub(super) fn service(&self) -> Option<&Service> {
        self.unit.service.as_ref()
    }

    /// All assignments, in the order in which they apply.
    pub(super) fn assignments(&self) -> impl DoubleEndedIterator<Item = (usize, &Item)> {
        self.files.iter().enumerate().flat_map(|(index, file)| {
            file.outline.items.iter().filter(|item| item.kind == ItemKind::Assignment).map(move |item| (index, item))
        })
    }

    /// What systemd said about a line.
    pub(super) fn warnings_at(&self, file: usize, line: u32) -> Vec<&Warning> {
        let indices = self.warnings.get(&(file, line)).into_iter().flatten();
        indices.filter_map(|index| self.unit.warnings.get(*index)).collect()
    }

    /// The lines that systemd warned about, by file.
    pub(super) fn warned(&self) -> Vec<(usize, u32)> {
        self.warnings.keys().copied().collect()
    }

    pub(super) fn is_warned(&self, file: usize, line: u32) -> bool {
        self.warnings.contains_key(&(file, line))
    }

    /// The assignment that decides about a setting with one value: the last one that systemd accepts.
    pub(super) fn decisive(&self, sections: &[&str], keys: &[&str]) -> Option<(Spot, &Item)> {
        self.assignments()
            .rev()
            .find(|(file, item)| {
                sections.contains(&item.section.as_str())
                    && keys.contains(&item.key.as_str())
                    && !self.is_warned(*file, item.line)
            })
            .map(|(file, item)| (Spot { file, span: item.span() }, item))
    }

    /// Where a setting of [Service] stands, or would stand.
    pub(super) fn place(&self, keys: &[&str]) -> Spot {
        let found = keys.iter().find_map(|key| self.decisive(&["Service"], &[key])).map(|(spot, _)| spot);
        found.unwrap_or_else(|| self.header())
    }

    /// The header of the section that makes the unit what it is.
    pub(super) fn header(&self) -> Spot {
        let own = if self.kind == UnitType::Socket { "Socket" } else { "Service" };
        for wanted in [Some(own), None] {
            for (file, content) in self.files.iter().enumerate() {
                let header =
                    content.outline.items.iter().find(|item| {
                        item.kind == ItemKind::Section && wanted.is_none_or(|wanted| item.section == wanted)
                    });
                if let Some(item) = header {
                    return Spot { file, span: item.span() };
                }
            }
        }
        Spot { file: 0, span: 0..0 }
    }

    /// Whether a line's value, put alone into a unit, is accepted without a remark.
    pub(super) fn accepts(&self, section: &str, key: &str, value: &str) -> bool {
        let text = format!("[{section}]\n{key}={value}\n");
        let unit = Unit::parse(&self.unit.name, text, self.options.profile);
        !value.is_empty() && !unit.warnings.iter().any(|warning| warning.line == Some(2))
    }

    pub(super) fn kind_of(&self, item: &Item) -> Option<KeyKind> {
        key_kind(&item.section, &item.key, self.options.profile)
    }

    /// How a property stands in the end, as `systemctl show` has it.
    pub(super) fn property(&self, key: &str) -> Option<(String, String)> {
        let name = match key {
            "StartLimitInterval" => "StartLimitIntervalUSec".to_owned(),
            key => key.strip_suffix("Sec").map_or_else(|| key.to_owned(), |stem| format!("{stem}USec")),
        };
        let found = self.unit.properties().into_iter().find(|(known, _)| *known == name)?;
        (!found.1.is_empty()).then_some((name, found.1))
    }

    /// Notes a finding; what the rule's severity is unless said otherwise with [`Sheet::milder`].
    pub(super) fn found(&mut self, rule: &'static Rule, spot: Spot, message: String, label: &str, fix: Option<String>) {
        self.add(rule, rule.severity, spot, message, label, fix);
    }

    pub(super) fn add(
        &mut self,
        rule: &'static Rule,
        severity: Severity,
        spot: Spot,
        message: String,
        label: &str,
        fix: Option<String>,
    ) {
        let Some(file) = self.files.get(spot.file) else { return };
        if file.allows(rule.id, spot.span.start) || self.found.len() > MOST_FINDINGS {
            return;
        }
        let finding =
            Finding { rule, severity, file: file.path.clone(), span: spot.span, message, label: label.to_owned(), fix };
        self.found.push((spot.file, finding));
    }

    /// Says that what systemd says about a line is said by a rule.
    pub(super) fn explain(&mut self, file: usize, line: u32) {
        self.explained.insert((file, line));
    }

    pub(super) fn is_explained(&self, file: usize, line: u32) -> bool {
        self.explained.contains(&(file, line))
    }

    pub(super) fn has_found(&self, rule: &'static Rule) -> bool {
        self.found.iter().any(|(_, finding)| std::ptr::eq(finding.rule, rule))
    }

    pub(super) fn done(mut self) -> Vec<Finding> {
        self.check_allowances();
        self.found.sort_by(|(a, left), (b, right)| {
            (a, left.span.start, left.rule.id).cmp(&(b, right.span.start, right.rule.id))
        });
        self.found.truncate(MOST_FINDINGS);
        self.found.into_iter().map(|(_, finding)| finding).collect()
    }

    /// Comments that allow what there is not.
    fn check_allowances(&mut self) {
        let mut wrong = Vec::new();
        for (file, content) in self.files.iter().enumerate() {
            let names = content.allowed.iter().map(|(at, names)| (*at, names));
            for (at, names) in names.chain([(0, &content.allowed_everywhere)]) {
                for name in names.iter().filter(|name| rules::rule(name).is_none()) {
                    wrong.push((Spot { file, span: at..at }, name.clone()));
                }
            }
        }
        let known: Vec<&str> = rules::RULES.iter().map(|rule| rule.id).collect();
        for (spot, name) in wrong.into_iter().take(MOST_FINDINGS) {
            let near = crate::expect::nearest(&name, &known).map(|near| format!("; did you mean {near}?"));
            let message = format!("there is no rule {name}{}", near.unwrap_or_default());
            self.found(&rules::UNKNOWN_RULE, spot, message, "allowed before this line", None);
        }
    }

    /// The commands that are in effect, each with its line.
    fn exec_lines(&self) -> Vec<Line> {
        let Some(service) = self.service() else { return Vec::new() };
        let environment: Vec<(&str, &str)> =
            service.environment.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let mut lists: [Vec<Line>; EXEC_KEYS.len()] = Default::default();
        let mut seen = 0;
        for (file, item) in self.assignments().filter(|(_, item)| item.section == "Service") {
            let Some(index) = EXEC_KEYS.iter().position(|key| *key == item.key) else { continue };
            let key = EXEC_KEYS[index];
            if item.value.is_empty() {
                lists[index].clear();
                continue;
            }
            seen += 1;
            if seen > MOST_COMMANDS {
                break;
            }
            let text = format!("[Service]\nType=oneshot\n{key}={}\n", item.value);
            let alone = Unit::parse(&self.unit.name, text, self.options.profile);
            let Some(alone) = alone.service else { continue };
            let list = match key {
                "ExecCondition" => alone.exec_condition,
                "ExecStartPre" => alone.exec_start_pre,
                "ExecStart" => alone.exec_start,
                "ExecStartPost" => alone.exec_start_post,
                "ExecReload" => alone.exec_reload,
                "ExecReloadPost" => alone.exec_reload_post,
                "ExecStop" => alone.exec_stop,
                _ => alone.exec_stop_post,
            };
            for command in list {
                lists[index].push(Line {
                    key,
                    spot: Spot { file, span: item.value_span() },
                    command: Command::of(expand(&command, &environment)),
                    ignores_failure: command.ignore_failure,
                    privileged: !command.privileges.is_empty(),
                });
            }
        }
        lists.into_iter().flatten().collect()
    }

    /// The command that is the service.
    pub(super) fn main_line(&self) -> Option<&Line> {
        let mut starts = self.lines.iter().filter(|line| line.key == "ExecStart");
        starts.next().filter(|_| starts.next().is_none())
    }
}

impl File {
    fn read(path: &str, bytes: &[u8]) -> File {
        let mut file = File {
            path: path.to_owned(),
            outline: Outline::of(bytes),
            allowed: BTreeMap::new(),
            allowed_everywhere: Vec::new(),
        };
        let mut pending: Vec<String> = Vec::new();
        let mut at = 0;
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            let blanks = line.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
            let text = line.trim_ascii();
            if let Some(comment) = text.strip_prefix(b"#").or_else(|| text.strip_prefix(b";")) {
                let comment = String::from_utf8_lossy(comment);
                if let Some(rest) = comment.trim().strip_prefix("relapse:") {
                    let rest = rest.trim();
                    if let Some(names) = rest.strip_prefix("allow-file") {
                        file.allowed_everywhere.extend(listed(names));
                    } else if let Some(names) = rest.strip_prefix("allow") {
                        pending.extend(listed(names));
                    }
                }
            } else {
                if !pending.is_empty() && !text.is_empty() {
                    file.allowed.insert(at + blanks, std::mem::take(&mut pending));
                }
                pending.clear();
            }
            at += line.len();
        }
        file
    }

    /// Whether a rule is switched off where something was found.
    fn allows(&self, rule: &str, at: usize) -> bool {
        let here = |names: &Vec<String>| names.iter().any(|name| name == rule);
        if here(&self.allowed_everywhere) {
            return true;
        }
        // What was found may stand behind the beginning of its line.
        let item = self.outline.items.partition_point(|item| item.span().start <= at).checked_sub(1);
        let start = item.and_then(|index| self.outline.items.get(index)).map(|item| item.span().start);
        start.and_then(|start| self.allowed.get(&start)).is_some_and(here)
    }
}

fn listed(names: &str) -> impl Iterator<Item = String> + '_ {
    names.split([',', ' ', '\t']).filter(|name| !name.is_empty()).map(str::to_owned)
}
