//! `systemd-escape`: strings into unit names and back (systemd-escape(1)).

use super::getopt::{Getopt, Spec, Takes};
use super::{Output, version_of, version_output};
use crate::unit::name::{self, NameError, NameKind};
use crate::unit::{Profile, UnitType, is_valid_path};

const HELP: &str = "\
systemd-escape [OPTIONS...] [NAME...]

Turn strings into parts of unit names, and back.

  -h --help               Show this help
     --version            Show the version
     --suffix=SUFFIX      Append this unit suffix to what was escaped
     --template=TEMPLATE  Make what was escaped the instance of this template
     --instance           With --unescape: the instance alone
  -u --unescape           Undo it
  -m --mangle             Make unit names of sloppy ones, as systemctl does
  -p --path               The strings are paths";

#[derive(Clone, Copy)]
enum Opt {
    Help,
    Version,
    Suffix,
    Template,
    Instance,
    Unescape,
    Mangle,
    Path,
}

const SPECS: &[Spec<Opt>] = &[
    ("help", Some('h'), Takes::Nothing, Opt::Help),
    ("version", None, Takes::Nothing, Opt::Version),
    ("suffix", None, Takes::Value, Opt::Suffix),
    ("template", None, Takes::Value, Opt::Template),
    ("instance", None, Takes::Nothing, Opt::Instance),
    ("unescape", Some('u'), Takes::Nothing, Opt::Unescape),
    ("mangle", Some('m'), Takes::Nothing, Opt::Mangle),
    ("path", Some('p'), Takes::Nothing, Opt::Path),
];

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Action {
    #[default]
    Escape,
    Unescape,
    Mangle,
}

#[derive(Default)]
struct Plan {
    action: Action,
    path: bool,
    instance: bool,
    suffix: Option<String>,
    template: Option<String>,
}

/// Runs `systemd-escape` with these arguments (without `argv[0]`).
///
/// As with the real one, the names before a bad one are printed, on a line that does not end.
pub fn run(args: &[String], profile: Profile) -> Output {
    let (plan, names) = match plan(args, profile) {
        Ok(read) => read,
        Err(output) => return output,
    };
    let mut output = Output::default();
    for (index, name) in names.iter().enumerate() {
        match plan.apply(name, &mut output) {
            Ok(text) => {
                if index > 0 {
                    output.stdout.push(b' ');
                }
                output.stdout.extend_from_slice(text.as_bytes());
            }
            Err(message) => {
                output.complain(message);
                output.code = 1;
                return output;
            }
        }
    }
    output.say("");
    output
}

fn plan(args: &[String], profile: Profile) -> Result<(Plan, Vec<String>), Output> {
    let mut plan = Plan::default();
    let mut getopt = Getopt::new("systemd-escape", SPECS, args);
    while let Some(option) = getopt.next() {
        let (option, value) = option.map_err(Output::refuse)?;
        let value = value.unwrap_or_default();
        match option {
            Opt::Help => {
                let mut output = Output::default();
                output.say(HELP);
                return Err(output);
            }
            Opt::Version => return Err(version_output(version_of(profile))),
            Opt::Suffix if UnitType::from_suffix(&value).is_none() => {
                return Err(Output::refuse(format!("Invalid unit suffix type \"{value}\".")));
            }
            Opt::Suffix => plan.suffix = Some(value),
            Opt::Template if name::kind(&value) != Some(NameKind::Template) => {
                return Err(Output::refuse(NameError::Template(value).to_string()));
            }
            Opt::Template => plan.template = Some(value),
            Opt::Instance => plan.instance = true,
            Opt::Unescape => plan.action = Action::Unescape,
            Opt::Mangle => plan.action = Action::Mangle,
            Opt::Path => plan.path = true,
        }
    }
    let Plan { action, path, instance, suffix, template } = &plan;
    let (suffix, template) = (suffix.is_some(), template.is_some());
    // In the order in which the real one looks for contradictions.
    let contradiction = if getopt.operands.is_empty() {
        "Not enough arguments."
    } else if template && suffix {
        "--suffix= and --template= may not be combined."
    } else if (template || suffix) && *action == Action::Mangle {
        "--suffix= and --template= are not compatible with --mangle."
    } else if suffix && *action == Action::Unescape {
        "--suffix is not compatible with --unescape."
    } else if *path && *action == Action::Mangle {
        "--path may not be combined with --mangle."
    } else if *instance && *action != Action::Unescape {
        "--instance must be used in conjunction with --unescape."
    } else if *instance && template {
        "--instance may not be combined with --template."
    } else {
        return Ok((plan, getopt.operands));
    };
    Err(Output::refuse(contradiction))
}

impl Plan {
    fn apply(&self, text: &str, output: &mut Output) -> Result<String, String> {
        match self.action {
            Action::Escape => self.escape(text, output),
            Action::Unescape => self.unescape(text),
            Action::Mangle => {
                name::mangle(text, ".service").map(|mangled| mangled.name).map_err(|error| error.to_string())
            }
        }
    }

    fn escape(&self, text: &str, output: &mut Output) -> Result<String, String> {
        let escaped = if self.path { escape_path(text, output)? } else { name::escape(text) };
        match (&self.template, &self.suffix) {
            (Some(template), _) => {
                name::with_instance(template, &escaped).ok_or_else(|| NameError::Instance.to_string())
            }
            (None, Some(suffix)) => Ok(format!("{escaped}.{suffix}")),
            (None, None) => Ok(escaped),
        }
    }

    fn unescape(&self, text: &str) -> Result<String, String> {
        let escaped = if self.instance || self.template.is_some() {
            let kind = name::kind(text).ok_or("Failed to extract instance: Invalid argument")?;
            if kind != NameKind::Instance {
                return Err(format!("Unit {text} is missing the instance name."));
            }
            if let (Some(wanted), Some(template)) = (&self.template, name::template(text))
                && *wanted != template
            {
                return Err(format!("Unit {text} template {template} does not match specified template {wanted}."));
            }
            name::instance(text).unwrap_or_default()
        } else {
            text
        };
        let plain = if self.path { name::unescape_path(escaped) } else { name::unescape(escaped) };
        plain.map_err(|error| error.to_string())
    }
}

/// Escapes a path and says if it will not come back the same.
fn escape_path(text: &str, output: &mut Output) -> Result<String, String> {
    let absolute = text.starts_with('/');
    match name::escape_path(text) {
        Ok(escaped) => {
            let input = format!("Input '{text}' is not");
            if text.is_empty() {
                output
                    .complain(format!("{input} a valid file system path, escaping is likely not going be reversible."));
            } else if !absolute {
                output.complain(format!(
                    "{input} an absolute file system path, escaping is likely not going to be reversible."
                ));
            }
            Ok(escaped)
        }
        Err(_) => {
            let what = match absolute {
                _ if !is_valid_path(text) => "a valid",
                true => "a normalized",
                false => "an absolute",
            };
            Err(format!("Input '{text}' is not {what} file system path, failed to escape."))
        }
    }
}
