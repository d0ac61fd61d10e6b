//! The message catalogue: `MESSAGE_ID` values of what the manager logs (`message_ids.json`).

pub(super) const STARTING: &str = "7d4958e842da4a758f6c1cdc7b36dcc5";
pub(super) const STARTED: &str = "39f53479d3a045ac8e11786248231fbf";
pub(super) const FAILED: &str = "be02cf6855d2428ba40df7e9d022f03d";
pub(super) const STOPPING: &str = "de5b426a63be47a7b6ac3eaac82e2f6f";
pub(super) const STOPPED: &str = "9d1aaa27d60140bd96365438aad20286";
pub(super) const RELOADING: &str = "d34d037fff1847e6ae669a370e694725";
pub(super) const RELOADED: &str = "7b05ebc668384222baa8881179cfda54";
pub(super) const RESTART_SCHEDULED: &str = "5eb03494b6584870a536b337290809b3";
pub(super) const PROCESS_EXIT: &str = "98e322203f7a4ed290d09fe03c09fe15";
pub(super) const FAILURE_RESULT: &str = "d9b373ed55a64feb8242e02dbe79a49c";
pub(super) const SUCCESS: &str = "7ad2d189f7e94e70a38c781354912448";
pub(super) const SKIPPED: &str = "0e4284a0caca4bfc81c0bb6786972673";
pub(super) const SPAWN_FAILED: &str = "641257651c1b4ec9a8624d7a40a9e1e7";
pub(super) const RESOURCES: &str = "ae8f7b866b0347b9af31fe1c80b127c0";
pub(super) const INVALID_CONFIGURATION: &str = "c772d24e9a884cbeb9ea12625c306c01";

/// syslog priorities by systemd's names.
pub(super) mod level {
    pub const ERR: u8 = 3;
    pub const WARNING: u8 = 4;
    pub const NOTICE: u8 = 5;
    pub const INFO: u8 = 6;
}
