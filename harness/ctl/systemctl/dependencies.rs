//! `list-dependencies` (systemctl(1)): the tree of what a unit needs, or of what needs it.

use std::collections::HashSet;

use crate::ctl::{Output, View};
use crate::unit::name::suffix;

use super::glyphs::Glyphs;
use super::options::Options;
use super::properties::Properties;

/// As wide as a line is where there is no terminal.
const COLUMNS: usize = 80;

/// How many lines a tree may have. With `--all` a unit comes up once for each way to it, and those can be as many as
/// nobody wants to read.
const MOST_LINES: usize = 100_000;

/// Which way the tree grows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Direction {
    #[default]
    Forward,
    Reverse,
    After,
    Before,
}

impl Direction {
    const fn relations(self) -> &'static [&'static str] {
        match self {
            Direction::Forward => &["Requires", "Requisite", "Wants", "ConsistsOf", "BindsTo", "Upholds"],
            Direction::Reverse => &["RequiredBy", "RequisiteOf", "WantedBy", "PartOf", "BoundBy", "UpheldBy"],
            Direction::After => &["After"],
            Direction::Before => &["Before"],
        }
    }
}

/// A unit whose dependencies are listed.
#[derive(Clone, Debug)]
struct Node {
    unit: String,
    dependencies: Vec<String>,
    next: usize,
    /// It leads back to a unit above it.
    circular: bool,
    /// Whether more comes below it on its own level; the root has none.
    goes_on: bool,
}

/// A tree as far as it has been walked. Every look at a unit is a request, so the walk stops there and goes on with the
/// answer.
#[derive(Clone, Debug)]
pub(super) struct Walk {
    glyphs: Glyphs,
    /// The unit to be looked at next: the root, or a dependency of the last node.
    wanted: Option<String>,
    nodes: Vec<Node>,
    /// The units above the one that is looked at; where nothing is drawn, all that were above any.
    seen: HashSet<String>,
    lines: usize,
}

impl Walk {
    pub(super) fn new(unit: String, glyphs: Glyphs) -> Self {
        Self { glyphs, wanted: Some(unit), nodes: Vec::new(), seen: HashSet::new(), lines: 0 }
    }

    /// The unit that has to be loaded before the walk can go on; `None` at its end.
    pub(super) fn wanted(&self) -> Option<&str> {
        self.wanted.as_deref()
    }

    /// Goes on until the next unit has to be looked at.
    pub(super) fn proceed(&mut self, output: &mut Output, options: &Options, view: &dyn View) {
        let Some(unit) = self.wanted.take() else { return };
        if self.nodes.is_empty() {
            return self.descend(unit, false, output, options, view);
        }
        let properties = Properties::of(view, &unit);
        let (last, descends) = match self.nodes.last() {
            Some(node) => (node.next == node.dependencies.len(), options.all || suffix(&unit) == ".target"),
            None => return,
        };
        let state = properties.some("ActiveState").unwrap_or("inactive");
        let fits = options.states.is_empty()
            || options.states.iter().any(|wanted| {
                [state, properties.get("LoadState"), properties.get("SubState")].contains(&wanted.as_str())
            });
        let typed =
            options.types.is_empty() || options.types.iter().any(|t| suffix(&unit).trim_start_matches('.') == t);
        if fits && typed {
            let circular = self.nodes.last().is_some_and(|node| node.circular);
            self.line(&unit, Some(state), last && !circular, output, options);
        }
        if self.lines > MOST_LINES {
            let hint = "leave out --all, or name a unit further down";
            output.complain(format!("systemctl: the tree has more than {MOST_LINES} lines; {hint}"));
            output.code = 1;
            self.nodes.clear();
        } else if descends {
            self.descend(unit, !last, output, options, view);
        } else {
            self.climb(output, options);
        }
    }

    /// Lists the dependencies of a unit.
    fn descend(&mut self, unit: String, goes_on: bool, output: &mut Output, options: &Options, view: &dyn View) {
        let properties = Properties::of(view, &unit);
        let relations = options.direction.relations().iter();
        let mut dependencies: Vec<String> =
            relations.flat_map(|name| properties.words(name)).map(str::to_owned).collect();
        // Targets come last.
        dependencies.sort_by_cached_key(|name| (suffix(name) == ".target", name.to_ascii_lowercase()));
        dependencies.dedup();
        self.seen.insert(unit.clone());
        self.nodes.push(Node { unit, dependencies, next: 0, circular: false, goes_on });
        self.climb(output, options);
    }

    /// The next dependency to look at: of the last node, or of one above it.
    fn climb(&mut self, output: &mut Output, options: &Options) {
        while let Some(node) = self.nodes.last_mut() {
            while let Some(dependency) = node.dependencies.get(node.next) {
                node.next += 1;
                if !self.seen.contains(dependency) {
                    self.wanted = Some(dependency.clone());
                    return;
                }
                node.circular = true;
            }
            if node.circular && !options.plain {
                self.line("...", None, true, output, options);
            }
            if let Some(node) = self.nodes.pop()
                && !options.plain
            {
                self.seen.remove(&node.unit);
            }
        }
    }

    fn line(&mut self, name: &str, state: Option<&str>, last: bool, output: &mut Output, options: &Options) {
        self.lines += 1;
        let mut line = match state.filter(|_| !options.plain) {
            Some(state) => format!("{} ", self.glyphs.state(state)),
            None => "  ".to_owned(),
        };
        let mut room = COLUMNS;
        if !options.plain {
            let level = self.nodes.len();
            // Two columns for each level; where a tree is too deep, its lines are.
            if 2 * level > COLUMNS - 3 && !options.full {
                let stems = (COLUMNS - 3) / 2;
                line.extend(self.nodes.iter().skip(1).take(stems).map(|node| self.glyphs.stem(node.goes_on)));
                return output.say(line + " ...");
            }
            line.extend(self.nodes.iter().skip(1).map(|node| self.glyphs.stem(node.goes_on)));
            line.push_str(self.glyphs.fork(last));
            room -= 2 * level;
        }
        line.push_str(&if options.full { name.to_owned() } else { self.glyphs.cut(name, room) });
        output.say(line);
    }
}
