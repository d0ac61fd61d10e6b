//! Properties of a unit, as `systemctl show` prints them, and what can be read back from them.

use crate::ctl::View;
use crate::time::IncidentTime;

/// The properties of one unit at one moment.
pub(super) struct Properties {
    list: Vec<(&'static str, String)>,
    boot: IncidentTime,
}

/// A command of an Exec list and how its last run went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ExecStatus {
    /// `ExecStart`, ….
    pub(super) key: &'static str,
    pub(super) argv: String,
    pub(super) pid: u32,
    /// `exited`, `killed`, `dumped`; anything else is a command that has not ended.
    pub(super) code: String,
    pub(super) status: i32,
}

/// The Exec lists in the order in which a service runs them.
const EXEC_LISTS: [&str; 7] =
    ["ExecCondition", "ExecStartPre", "ExecStart", "ExecStartPost", "ExecReload", "ExecStop", "ExecStopPost"];

impl Properties {
    pub(super) fn of(view: &dyn View, unit: &str) -> Self {
        Self { list: view.properties(unit), boot: view.machine().boot }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.list.iter().map(|(key, value)| (*key, value.as_str()))
    }

    /// The value, empty if there is no such property.
    pub(super) fn get(&self, key: &str) -> &str {
        self.list.iter().find(|(name, _)| *name == key).map_or("", |(_, value)| value.as_str())
    }

    /// The value, `None` if it is empty or missing.
    pub(super) fn some(&self, key: &str) -> Option<&str> {
        Some(self.get(key)).filter(|value| !value.is_empty())
    }

    pub(super) fn flag(&self, key: &str) -> bool {
        self.get(key) == "yes"
    }

    /// A number; what is no number (`[not set]`) is none.
    pub(super) fn number(&self, key: &str) -> Option<u64> {
        self.get(key).parse().ok()
    }

    pub(super) fn words(&self, key: &str) -> Vec<&str> {
        self.get(key).split(' ').filter(|word| !word.is_empty()).collect()
    }

    /// A list whose words are quoted where they need it (`"man:sleep(1)" https://x`), without the quotes.
    pub(super) fn list(&self, key: &str) -> Vec<String> {
        let mut words = Vec::new();
        let mut word: Option<String> = None;
        let mut quoted = false;
        let mut chars = self.get(key).chars();
        while let Some(c) = chars.next() {
            match c {
                '"' => {
                    quoted = !quoted;
                    word.get_or_insert_default();
                }
                '\\' if quoted => word.get_or_insert_default().extend(chars.next()),
                ' ' if !quoted => words.extend(word.take()),
                c => word.get_or_insert_default().push(c),
            }
        }
        words.extend(word);
        words
    }

    /// All values of a property that is shown once for each item.
    pub(super) fn all<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a str> {
        self.list.iter().filter(move |(name, value)| *name == key && !value.is_empty()).map(|(_, value)| value.as_str())
    }

    /// A timestamp with all its microseconds, from its monotonic twin (`key` is without `Monotonic`); `None` if it
    /// was never set.
    pub(super) fn time(&self, key: &str) -> Option<IncidentTime> {
        let since_boot = self.monotonic(key)?;
        Some(self.boot + crate::time::Span::from_micros(since_boot))
    }

    /// Microseconds from boot to a timestamp.
    pub(super) fn monotonic(&self, key: &str) -> Option<u64> {
        self.number(&format!("{key}Monotonic")).filter(|micros| *micros > 0)
    }

    /// Whether there is no such unit, and none of that name runs on either.
    pub(super) fn is_not_found(&self) -> bool {
        matches!(self.get("LoadState"), "not-found" | "") && matches!(self.get("ActiveState"), "inactive" | "")
    }

    /// The message of `LoadError=NAME "MESSAGE"`.
    pub(super) fn load_error(&self) -> Option<&str> {
        let (_, quoted) = self.some("LoadError")?.split_once(' ')?;
        quoted.strip_prefix('"').and_then(|text| text.strip_suffix('"')).filter(|text| !text.is_empty())
    }

    /// The commands of all Exec lists, in the order in which they run.
    pub(super) fn commands(&self) -> Vec<ExecStatus> {
        EXEC_LISTS.iter().flat_map(|key| self.all(key).filter_map(|text| ExecStatus::parse(key, text))).collect()
    }
}

impl ExecStatus {
    /// Reads `{ path=… ; argv[]=… ; … ; pid=119 ; code=exited ; status=1 }`. It is read from its end, because the
    /// arguments may hold anything.
    fn parse(key: &'static str, text: &str) -> Option<Self> {
        let rest = text.strip_suffix(" }")?;
        let (rest, status) = rest.rsplit_once(" ; status=")?;
        let (rest, code) = rest.rsplit_once(" ; code=")?;
        let (rest, pid) = rest.rsplit_once(" ; pid=")?;
        let (rest, _) = rest.rsplit_once(" ; ignore_errors=")?;
        let (_, argv) = rest.split_once(" ; argv[]=")?;
        let number = status.split('/').next().unwrap_or_default();
        Some(Self {
            key,
            argv: argv.to_owned(),
            pid: pid.parse().ok()?,
            code: code.to_owned(),
            status: number.parse().ok()?,
        })
    }
}
