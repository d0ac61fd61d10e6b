//! The commands of a service as its processes would get them.

use serde::Serialize;

use super::desk::Desk;
use super::{Output, Shelf, USAGE};
use crate::manager::MANAGER_ENVIRONMENT;
use crate::unit::environment::{self, expand_and_report};
use crate::unit::{ExecCommand, LoadState, NotifyAccess, Service};

/// Reads a file that `EnvironmentFile=` names.
pub type Read<'a> = &'a dyn Fn(&str) -> Option<Vec<u8>>;

/// A command as it would be run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Argv {
    /// The program: an absolute path, or a name that is searched in the default PATH.
    pub path: String,
    /// Its arguments, `argv[0]` first, variables expanded.
    pub argv: Vec<String>,
    /// The prefixes that matter to whoever runs it: `-`, `:`, `+`, `!`, `!!`, `|`.
    pub flags: Vec<&'static str>,
}

/// The lists that are not empty, in systemd's order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
#[expect(missing_docs, reason = "each field is the key of the same name")]
pub struct Commands {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exec_condition: Vec<Argv>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exec_start_pre: Vec<Argv>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exec_start: Vec<Argv>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exec_start_post: Vec<Argv>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exec_reload: Vec<Argv>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exec_reload_post: Vec<Argv>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exec_stop: Vec<Argv>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exec_stop_post: Vec<Argv>,
}

/// Which list a command is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum List {
    Condition,
    StartPre,
    Start,
    StartPost,
    Reload,
    ReloadPost,
    Stop,
    StopPost,
}

/// The lists in systemd's order.
pub(super) fn lists(service: &Service) -> [(List, &Vec<ExecCommand>); 8] {
    [
        (List::Condition, &service.exec_condition),
        (List::StartPre, &service.exec_start_pre),
        (List::Start, &service.exec_start),
        (List::StartPost, &service.exec_start_post),
        (List::Reload, &service.exec_reload),
        (List::ReloadPost, &service.exec_reload_post),
        (List::Stop, &service.exec_stop),
        (List::StopPost, &service.exec_stop_post),
    ]
}

impl Commands {
    fn list(&mut self, list: List) -> &mut Vec<Argv> {
        match list {
            List::Condition => &mut self.exec_condition,
            List::StartPre => &mut self.exec_start_pre,
            List::Start => &mut self.exec_start,
            List::StartPost => &mut self.exec_start_post,
            List::Reload => &mut self.exec_reload,
            List::ReloadPost => &mut self.exec_reload_post,
            List::Stop => &mut self.exec_stop,
            List::StopPost => &mut self.exec_stop_post,
        }
    }
}

pub(super) fn exec(shelf: &Shelf, unit: &str, read: Option<Read<'_>>) -> (Option<Commands>, Output) {
    let mut output = Output::default();
    for said in Desk::new(shelf).load(unit).into_iter().filter(|said| said.unit == unit) {
        output.complain(said.text);
    }
    let loaded = crate::unit::load(&shelf.files, unit, shelf.profile);
    if loaded.load_state != LoadState::Loaded {
        output.complain(loaded.load_error.as_deref().unwrap_or("The unit cannot be loaded."));
        output.code = 1;
        return (None, output);
    }
    let Some(service) = &loaded.service else {
        output.complain(format!("{unit}: only a service has commands"));
        output.code = USAGE;
        return (None, output);
    };
    let files = files(&mut output, unit, service, read);
    let mut all = Commands::default();
    for (list, commands) in lists(service) {
        let block = block(service, list, files.variables.iter());
        let run = |command: &ExecCommand| Argv {
            path: command.path.clone(),
            argv: argv(command, block.clone(), files.known),
            flags: flags(command),
        };
        *all.list(list) = commands.iter().map(run).collect();
    }
    (Some(all), output)
}

/// What `EnvironmentFile=` adds.
struct FileVariables {
    variables: Vec<(String, String)>,
    /// Whether it is known at all.
    known: bool,
}

fn files(output: &mut Output, unit: &str, service: &Service, read: Option<Read<'_>>) -> FileVariables {
    let mut all = FileVariables { variables: Vec::new(), known: true };
    for (path, optional) in &service.environment_file {
        let Some(content) = read.map(|read| read(path)) else {
            all.known = false;
            output.complain(format!(
                "{unit}: EnvironmentFile={path} is not looked at without --root; what only it could set is shown by name"
            ));
            continue;
        };
        match content.as_deref().map(environment::read_environment_file) {
            Some(Ok(file)) => {
                for word in file.ignored {
                    output.complain(format!("{unit}: Ignoring invalid environment assignment '{word}': {path}"));
                }
                for (name, value) in file.variables {
                    environment::set(&mut all.variables, &name, &value);
                }
            }
            _ if *optional => {}
            Some(Err(error)) => {
                output.complain(format!("{unit}: Failed to load environment files: {error}"));
                output.code = 1;
            }
            None => {
                output.complain(format!("{unit}: Failed to load environment files: No such file or directory"));
                output.code = 1;
            }
        }
    }
    all
}

/// The environment of the commands of a list, in systemd's order of precedence (systemd.exec(5), "Environment
/// Variables in Spawned Processes"). What is known only when the service runs stands for itself: `$MAINPID`.
fn block<'a>(
    service: &'a Service,
    list: List,
    files: impl Iterator<Item = &'a (String, String)>,
) -> Vec<(String, String)> {
    let mut block: Vec<(String, String)> =
        MANAGER_ENVIRONMENT.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let mut running = vec!["INVOCATION_ID", "SYSTEMD_EXEC_PID"];
    let to_journal = |stream: &str| ["journal", "kmsg", "syslog"].iter().any(|kind| stream.starts_with(kind));
    if to_journal(&service.standard_output) || to_journal(&service.standard_error) {
        running.push("JOURNAL_STREAM");
    }
    match list {
        List::Condition | List::StartPre => {}
        List::Start => {
            if !service.watchdog_sec.is_zero() && !service.watchdog_sec.is_infinite() {
                running.extend(["WATCHDOG_PID", "WATCHDOG_USEC"]);
            }
            running
                .extend(["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"].iter().filter(|_| !service.sockets.is_empty()));
        }
        List::StartPost | List::Reload | List::ReloadPost => running.push("MAINPID"),
        List::Stop | List::StopPost => running.extend(["MAINPID", "SERVICE_RESULT", "EXIT_CODE", "EXIT_STATUS"]),
    }
    let notifies = match service.notify_access {
        NotifyAccess::None => false,
        NotifyAccess::Main => list == List::Start,
        NotifyAccess::Exec | NotifyAccess::All => true,
    };
    running.extend(notifies.then_some("NOTIFY_SOCKET"));
    let is_set = |name: &str| MANAGER_ENVIRONMENT.iter().any(|(known, _)| *known == name);
    running.extend(service.pass_environment.iter().map(String::as_str).filter(|name| !is_set(name)));
    if let Some(user) = &service.user {
        block.extend(["USER", "LOGNAME"].map(|name| (name.to_owned(), user.clone())));
        running.extend(["HOME", "SHELL"]);
    }
    block.extend(running.into_iter().map(|name| (name.to_owned(), format!("${name}"))));
    block.extend(service.pid_file.iter().map(|path| ("PIDFILE".to_owned(), path.clone())));
    // The last one of a name wins.
    block.extend(service.environment.iter().chain(files).cloned());
    block.retain(|(name, value)| {
        !service.unset_environment.iter().any(|unset| match unset.split_once('=') {
            Some((key, exact)) => name == key && value == exact,
            None => name == unset,
        })
    });
    block
}

/// The arguments. Variables that nobody is known to set are empty, as in systemd, unless a file may set them.
fn argv(command: &ExecCommand, mut block: Vec<(String, String)>, complete: bool) -> Vec<String> {
    let expansion = expand_and_report(command, &block);
    if complete || expansion.unset.is_empty() {
        return expansion.argv;
    }
    block.extend(expansion.unset.into_iter().map(|name| (name.clone(), format!("${name}"))));
    expand_and_report(command, &block).argv
}

fn flags(command: &ExecCommand) -> Vec<&'static str> {
    let flags = [
        (command.ignore_failure, "-"),
        (command.no_env_expand, ":"),
        (!command.privileges.is_empty(), command.privileges),
        (command.via_shell, "|"),
    ];
    flags.into_iter().filter(|(set, _)| *set).map(|(_, flag)| flag).collect()
}
