//! Every key of every section and how its value is read, as data, with the version that brought it
//! (systemd.directives(7)). What is not here is an `Unknown key`.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::Profile;
use super::name::UnitType;

/// How a value is read. The typed kinds are checked, so that a bad value is warned about as systemd does, whether or
/// not the harness acts on the setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    /// The value is not looked at.
    Opaque,
    /// `yes`, `off`, …
    Bool,
    /// The same, but a bad value is fatal.
    FatalBool,
    OnFailureIsolate,
    /// The same, and empty means "not set".
    Tristate,
    /// A time span, and zero is zero.
    Span,
    /// A time span in which zero means infinity.
    SpanOrInfinity,
    Unsigned,
    Signed,
    Mode,
    Size,
    Signal,
    Limit,
    Choice(Choice),
    /// A string with specifiers.
    Text,
    /// An absolute path with specifiers.
    Path,
    /// The same, but a bad one is fatal.
    FatalPath,
    /// A list of strings with specifiers.
    Documentation,
    Exec,
    /// Names of units.
    Dependencies,
    /// The same under a name that is no longer used.
    ObsoleteDependencies,
    ConditionPath,
    ConditionText,
    Action,
    StartTimeout,
    AbortTimeout,
    JobTimeout,
    ExitStatusSet,
    ExitStatus,
    Environment,
    EnvironmentFile,
    PassEnvironment,
    UnsetEnvironment,
    WorkingDirectory,
    Account,
    Nice,
    SyslogLevel,
    SyslogFacility,
    OomScoreAdjust,
    PidFile,
    BusName,
    Sockets,
    Slice,
    Input,
    Output,
    KillMode,
    Listen,
    DescriptorName,
    SocketService,
    /// The paths of `Symlinks=`.
    SocketLinks,
    /// `[Install]`: only systemctl reads it.
    Install,
    /// Accepted for the sake of old files, with a remark.
    Removed,
}

/// Settings that take one word of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Choice {
    ServiceType,
    Restart,
    RestartMode,
    ExitType,
    NotifyAccess,
    TimeoutFailureMode,
    OomPolicy,
    CollectMode,
    JobMode,
    BindIpv6Only,
    ProtectSystem,
    ProtectHome,
    KeyringMode,
    ProtectProc,
    ProcSubset,
    UtmpMode,
    PreserveMode,
    DevicePolicy,
}

/// Keys of one kind that came with one version; 0 is "before 252".
struct Group(Kind, u16, &'static str);

const UNIT: &[Group] = &[
    Group(Kind::Text, 0, "Description"),
    Group(Kind::Documentation, 0, "Documentation"),
    Group(Kind::Path, 0, "SourcePath"),
    Group(
        Kind::Dependencies,
        0,
        "Requires Requisite Wants BindsTo BindTo Upholds Conflicts Before After OnSuccess OnFailure PropagatesReloadTo \
         PropagateReloadTo ReloadPropagatedFrom PropagateReloadFrom PropagatesStopTo StopPropagatedFrom PartOf \
         JoinsNamespaceOf",
    ),
    Group(Kind::ObsoleteDependencies, 0, "RequiresOverridable RequisiteOverridable"),
    Group(Kind::Opaque, 0, "RequiresMountsFor"),
    Group(Kind::OnFailureIsolate, 0, "OnFailureIsolate"),
    Group(Kind::Opaque, 256, "WantsMountsFor"),
    Group(
        Kind::Bool,
        0,
        "StopWhenUnneeded RefuseManualStart RefuseManualStop AllowIsolate DefaultDependencies IgnoreOnIsolate",
    ),
    Group(Kind::Bool, 255, "SurviveFinalKillSignal"),
    Group(Kind::Choice(Choice::JobMode), 0, "OnSuccessJobMode OnFailureJobMode"),
    Group(Kind::Removed, 0, "IgnoreOnSnapshot"),
    Group(Kind::JobTimeout, 0, "JobTimeoutSec JobRunningTimeoutSec"),
    Group(Kind::Action, 0, "JobTimeoutAction StartLimitAction FailureAction SuccessAction"),
    Group(Kind::Text, 0, "JobTimeoutRebootArgument RebootArgument"),
    Group(Kind::Span, 0, "StartLimitIntervalSec StartLimitInterval"),
    Group(Kind::Unsigned, 0, "StartLimitBurst"),
    Group(Kind::ExitStatus, 0, "FailureActionExitStatus SuccessActionExitStatus"),
    Group(
        Kind::ConditionPath,
        0,
        "ConditionPathExists ConditionPathExistsGlob ConditionPathIsDirectory ConditionPathIsSymbolicLink \
         ConditionPathIsMountPoint ConditionPathIsReadWrite ConditionPathIsEncrypted ConditionDirectoryNotEmpty \
         ConditionFileNotEmpty ConditionFileIsExecutable ConditionNeedsUpdate AssertPathExists AssertPathExistsGlob \
         AssertPathIsDirectory AssertPathIsSymbolicLink AssertPathIsMountPoint AssertPathIsReadWrite \
         AssertPathIsEncrypted AssertDirectoryNotEmpty AssertFileNotEmpty AssertFileIsExecutable AssertNeedsUpdate",
    ),
    Group(
        Kind::ConditionText,
        0,
        "ConditionFirstBoot ConditionArchitecture ConditionFirmware ConditionVirtualization ConditionHost \
         ConditionKernelCommandLine ConditionKernelVersion ConditionCredential ConditionSecurity ConditionCapability \
         ConditionACPower ConditionMemory ConditionCPUFeature ConditionCPUs ConditionEnvironment ConditionUser \
         ConditionGroup ConditionControlGroupController ConditionOSRelease ConditionMemoryPressure \
         ConditionCPUPressure ConditionIOPressure AssertFirstBoot AssertArchitecture AssertVirtualization AssertHost \
         AssertKernelCommandLine AssertKernelVersion AssertCredential AssertSecurity AssertCapability AssertACPower \
         AssertMemory AssertCPUFeature AssertCPUs AssertEnvironment AssertUser AssertGroup \
         AssertControlGroupController AssertOSRelease AssertMemoryPressure AssertCPUPressure AssertIOPressure",
    ),
    Group(
        Kind::ConditionText,
        258,
        "ConditionVersion ConditionKernelModuleLoaded AssertVersion AssertKernelModuleLoaded",
    ),
    Group(Kind::Choice(Choice::CollectMode), 0, "CollectMode"),
];

const SERVICE: &[Group] = &[
    Group(Kind::PidFile, 0, "PIDFile"),
    Group(Kind::Exec, 0, "ExecCondition ExecStartPre ExecStart ExecStartPost ExecReload ExecStop ExecStopPost"),
    Group(Kind::Span, 0, "RestartSec RuntimeMaxSec RuntimeRandomizedExtraSec WatchdogSec StartLimitInterval"),
    Group(Kind::Span, 254, "RestartMaxDelaySec"),
    Group(Kind::StartTimeout, 0, "TimeoutSec TimeoutStartSec"),
    Group(Kind::SpanOrInfinity, 0, "TimeoutStopSec"),
    Group(Kind::AbortTimeout, 0, "TimeoutAbortSec"),
    Group(Kind::Choice(Choice::TimeoutFailureMode), 0, "TimeoutStartFailureMode TimeoutStopFailureMode"),
    Group(Kind::Unsigned, 0, "StartLimitBurst FileDescriptorStoreMax"),
    Group(Kind::Unsigned, 254, "RestartSteps"),
    Group(Kind::Action, 0, "StartLimitAction FailureAction"),
    Group(Kind::Text, 0, "RebootArgument"),
    Group(Kind::Choice(Choice::ServiceType), 0, "Type"),
    Group(Kind::Choice(Choice::ExitType), 0, "ExitType"),
    Group(Kind::Choice(Choice::Restart), 0, "Restart"),
    Group(Kind::Choice(Choice::RestartMode), 254, "RestartMode"),
    Group(Kind::Bool, 0, "PermissionsStartOnly RootDirectoryStartOnly RemainAfterExit GuessMainPID NonBlocking"),
    Group(Kind::ExitStatusSet, 0, "RestartPreventExitStatus RestartForceExitStatus SuccessExitStatus"),
    Group(Kind::Removed, 0, "SysVStartPriority BusPolicy"),
    Group(Kind::BusName, 0, "BusName"),
    Group(Kind::Choice(Choice::NotifyAccess), 0, "NotifyAccess"),
    Group(Kind::Sockets, 0, "Sockets"),
    Group(Kind::Path, 0, "USBFunctionDescriptors USBFunctionStrings"),
    Group(Kind::Choice(Choice::OomPolicy), 0, "OOMPolicy"),
    Group(Kind::Opaque, 253, "OpenFile"),
    Group(Kind::Signal, 253, "ReloadSignal"),
    Group(Kind::Choice(Choice::PreserveMode), 254, "FileDescriptorStorePreserve"),
    Group(Kind::Exec, 259, "ExecReloadPost"),
    Group(Kind::Opaque, 260, "RefreshOnReload"),
];

const SOCKET: &[Group] = &[
    Group(
        Kind::Listen,
        0,
        "ListenStream ListenDatagram ListenSequentialPacket ListenFIFO ListenNetlink ListenSpecial ListenMessageQueue \
         ListenUSBFunction",
    ),
    Group(Kind::Opaque, 0, "SocketProtocol BindToDevice IPTOS Timestamping"),
    Group(Kind::SocketLinks, 0, "Symlinks"),
    Group(Kind::Choice(Choice::BindIpv6Only), 0, "BindIPv6Only"),
    Group(Kind::Unsigned, 0, "Backlog MaxConnections MaxConnectionsPerSource KeepAliveProbes TriggerLimitBurst"),
    Group(Kind::Unsigned, 255, "PollLimitBurst"),
    Group(Kind::Exec, 0, "ExecStartPre ExecStartPost ExecStopPre ExecStopPost"),
    Group(Kind::SpanOrInfinity, 0, "TimeoutSec"),
    Group(Kind::Account, 0, "SocketUser SocketGroup"),
    Group(Kind::Mode, 0, "SocketMode DirectoryMode"),
    Group(
        Kind::Bool,
        0,
        "Accept FlushPending Writable KeepAlive NoDelay FreeBind Transparent Broadcast PassCredentials PassSecurity \
         PassPacketInfo ReusePort RemoveOnStop SELinuxContextFromNet",
    ),
    Group(Kind::Bool, 256, "PassFileDescriptorsToExec"),
    Group(Kind::Bool, 258, "AcceptFileDescriptors PassPIDFD"),
    Group(Kind::Opaque, 258, "DeferTrigger"),
    Group(Kind::Span, 258, "DeferTriggerMaxSec"),
    Group(Kind::Span, 0, "KeepAliveTimeSec KeepAliveIntervalSec DeferAcceptSec TriggerLimitIntervalSec"),
    Group(Kind::Span, 255, "PollLimitIntervalSec"),
    Group(Kind::Signed, 0, "Priority IPTTL Mark"),
    Group(Kind::Size, 0, "ReceiveBuffer SendBuffer PipeSize"),
    Group(Kind::Text, 0, "SmackLabel SmackLabelIPIn SmackLabelIPOut"),
    Group(Kind::Opaque, 0, "MessageQueueMaxMessages MessageQueueMessageSize TCPCongestion"),
    Group(Kind::DescriptorName, 0, "FileDescriptorName"),
    Group(Kind::SocketService, 0, "Service"),
];

/// systemd.exec(5), in `[Service]`, `[Socket]`, `[Mount]` and `[Swap]`.
const EXEC: &[Group] = &[
    Group(Kind::WorkingDirectory, 0, "WorkingDirectory"),
    Group(Kind::FatalPath, 0, "RootDirectory RootImage RootVerity"),
    Group(
        Kind::Opaque,
        0,
        "RootImageOptions RootHash RootHashSignature ExtensionDirectories ReadWriteDirectories ReadOnlyDirectories \
         InaccessibleDirectories ReadWritePaths ReadOnlyPaths InaccessiblePaths ExecPaths NoExecPaths ExtensionImages \
         MountImages SupplementaryGroups CoredumpFilter IOSchedulingClass IOSchedulingPriority CPUSchedulingPolicy \
         CPUSchedulingPriority CPUAffinity NUMAPolicy NUMAMask StandardInputText StandardInputData TTYRows TTYColumns \
         LogExtraFields SecureBits CapabilityBoundingSet AmbientCapabilities \
         TimerSlackNSec SystemCallFilter SystemCallArchitectures SystemCallErrorNumber SystemCallLog \
         RestrictNamespaces RestrictAddressFamilies RestrictFileSystems ExecSearchPath BindPaths BindReadOnlyPaths \
         TemporaryFileSystem LogNamespace MountFlags Personality RuntimeDirectory StateDirectory CacheDirectory \
         LogsDirectory ConfigurationDirectory SetCredential SetCredentialEncrypted LoadCredential \
         LoadCredentialEncrypted SELinuxContext AppArmorProfile SmackProcessLabel",
    ),
    Group(Kind::Opaque, 253, "LogFilterPatterns"),
    Group(Kind::Opaque, 254, "RootImagePolicy ExtensionImagePolicy MountImagePolicy ImportCredential"),
    Group(Kind::Opaque, 257, "PrivatePIDs"),
    Group(
        Kind::Opaque,
        258,
        "PrivateBPF BPFDelegateCommands BPFDelegateMaps BPFDelegatePrograms BPFDelegateAttachments DelegateNamespaces \
         StateDirectoryQuota CacheDirectoryQuota LogsDirectoryQuota StateDirectoryAccounting CacheDirectoryAccounting \
         LogsDirectoryAccounting",
    ),
    Group(Kind::Opaque, 259, "UserNamespacePath"),
    Group(Kind::Opaque, 260, "MemoryTHP RootMStack"),
    Group(Kind::Account, 0, "User Group"),
    Group(Kind::Nice, 0, "Nice"),
    Group(Kind::SyslogLevel, 0, "SyslogLevel LogLevelMax"),
    Group(Kind::SyslogFacility, 0, "SyslogFacility"),
    Group(Kind::OomScoreAdjust, 0, "OOMScoreAdjust"),
    Group(
        Kind::Bool,
        0,
        "CPUSchedulingResetOnFork RemoveIPC TTYReset TTYVHangup TTYVTDisallocate SyslogLevelPrefix NoNewPrivileges \
         MemoryDenyWriteExecute RestrictRealtime RestrictSUIDSGID LockPersonality PrivateDevices \
         ProtectKernelTunables ProtectKernelModules ProtectKernelLogs ProtectClock PrivateNetwork PrivateIPC \
         IgnoreSIGPIPE ProtectHostname",
    ),
    // Booleans in 252; later versions take other words too.
    Group(Kind::Opaque, 0, "PrivateTmp PrivateUsers ProtectControlGroups"),
    Group(Kind::Bool, 254, "RootEphemeral"),
    Group(Kind::Bool, 255, "CoredumpReceive"),
    Group(Kind::FatalBool, 0, "DynamicUser"),
    Group(Kind::Tristate, 0, "MountAPIVFS PrivateMounts"),
    Group(Kind::Tristate, 254, "MemoryKSM"),
    Group(Kind::Tristate, 255, "SetLoginEnvironment"),
    Group(Kind::Tristate, 257, "BindLogSockets"),
    Group(
        Kind::Mode,
        0,
        "UMask RuntimeDirectoryMode StateDirectoryMode CacheDirectoryMode LogsDirectoryMode \
         ConfigurationDirectoryMode",
    ),
    Group(Kind::Environment, 0, "Environment"),
    Group(Kind::EnvironmentFile, 0, "EnvironmentFile"),
    Group(Kind::PassEnvironment, 0, "PassEnvironment"),
    Group(Kind::UnsetEnvironment, 0, "UnsetEnvironment"),
    Group(Kind::Input, 0, "StandardInput"),
    Group(Kind::Output, 0, "StandardOutput StandardError"),
    Group(Kind::Path, 0, "TTYPath NetworkNamespacePath IPCNamespacePath"),
    Group(Kind::Text, 0, "SyslogIdentifier PAMName UtmpIdentifier"),
    Group(Kind::Span, 0, "LogRateLimitIntervalSec TimeoutCleanSec"),
    Group(Kind::Unsigned, 0, "LogRateLimitBurst"),
    Group(Kind::Removed, 0, "Capabilities"),
    Group(Kind::Choice(Choice::KeyringMode), 0, "KeyringMode"),
    Group(Kind::Choice(Choice::ProtectProc), 0, "ProtectProc"),
    Group(Kind::Choice(Choice::ProcSubset), 0, "ProcSubset"),
    Group(Kind::Choice(Choice::ProtectSystem), 0, "ProtectSystem"),
    Group(Kind::Choice(Choice::ProtectHome), 0, "ProtectHome"),
    Group(Kind::Choice(Choice::PreserveMode), 0, "RuntimeDirectoryPreserve"),
    Group(Kind::Choice(Choice::UtmpMode), 0, "UtmpMode"),
    Group(
        Kind::Limit,
        0,
        "LimitCPU LimitFSIZE LimitDATA LimitSTACK LimitCORE LimitRSS LimitNOFILE LimitAS LimitNPROC LimitMEMLOCK \
         LimitLOCKS LimitSIGPENDING LimitMSGQUEUE LimitNICE LimitRTPRIO LimitRTTIME",
    ),
];

/// systemd.kill(5), in the same sections and `[Scope]`.
const KILL: &[Group] = &[
    Group(Kind::Bool, 0, "SendSIGKILL SendSIGHUP"),
    Group(Kind::KillMode, 0, "KillMode"),
    Group(Kind::Signal, 0, "KillSignal RestartKillSignal FinalKillSignal WatchdogSignal"),
];

/// systemd.resource-control(5), in the same sections, `[Scope]` and `[Slice]`.
const CGROUP: &[Group] = &[
    Group(Kind::Slice, 0, "Slice"),
    Group(Kind::Bool, 0, "CPUAccounting MemoryAccounting IOAccounting BlockIOAccounting TasksAccounting IPAccounting"),
    Group(Kind::Bool, 256, "MemoryZSwapWriteback"),
    Group(
        Kind::Opaque,
        0,
        "AllowedCPUs StartupAllowedCPUs AllowedMemoryNodes StartupAllowedMemoryNodes CPUWeight StartupCPUWeight \
         CPUShares StartupCPUShares CPUQuota CPUQuotaPeriodSec MemoryMin DefaultMemoryMin DefaultMemoryLow MemoryLow \
         MemoryHigh MemoryMax MemorySwapMax MemoryLimit DeviceAllow IOWeight StartupIOWeight IODeviceWeight \
         IOReadBandwidthMax IOWriteBandwidthMax IOReadIOPSMax IOWriteIOPSMax IODeviceLatencyTargetSec BlockIOWeight \
         StartupBlockIOWeight BlockIODeviceWeight BlockIOReadBandwidth BlockIOWriteBandwidth TasksMax Delegate \
         DisableControllers IPAddressAllow IPAddressDeny IPIngressFilterPath IPEgressFilterPath ManagedOOMSwap \
         ManagedOOMMemoryPressure ManagedOOMMemoryPressureLimit ManagedOOMPreference BPFProgram SocketBindAllow \
         SocketBindDeny RestrictNetworkInterfaces",
    ),
    Group(Kind::Choice(Choice::DevicePolicy), 0, "DevicePolicy"),
    Group(Kind::Removed, 0, "NetClass"),
    Group(Kind::Opaque, 253, "MemoryZSwapMax"),
    Group(
        Kind::Opaque,
        254,
        "DefaultStartupMemoryLow StartupMemoryLow StartupMemoryHigh StartupMemoryMax StartupMemorySwapMax \
         StartupMemoryZSwapMax MemoryPressureWatch DelegateSubgroup",
    ),
    Group(Kind::Span, 254, "MemoryPressureThresholdSec"),
    Group(Kind::Opaque, 255, "NFTSet"),
    Group(Kind::Opaque, 257, "ManagedOOMMemoryPressureDurationSec"),
    Group(Kind::Opaque, 260, "BindNetworkInterface"),
];

const MOUNT: &[Group] = &[
    Group(Kind::Text, 0, "What Options Type"),
    Group(Kind::Path, 0, "Where"),
    Group(Kind::SpanOrInfinity, 0, "TimeoutSec"),
    Group(Kind::Mode, 0, "DirectoryMode"),
    Group(Kind::Bool, 0, "SloppyOptions LazyUnmount ForceUnmount ReadWriteOnly"),
];

const AUTOMOUNT: &[Group] = &[
    Group(Kind::Path, 0, "Where"),
    Group(Kind::Text, 0, "ExtraOptions"),
    Group(Kind::Mode, 0, "DirectoryMode"),
    Group(Kind::SpanOrInfinity, 0, "TimeoutIdleSec"),
];

const SWAP: &[Group] = &[
    Group(Kind::Path, 0, "What"),
    Group(Kind::Opaque, 0, "Priority"),
    Group(Kind::Text, 0, "Options"),
    Group(Kind::SpanOrInfinity, 0, "TimeoutSec"),
];

const TIMER: &[Group] = &[
    Group(Kind::Opaque, 0, "OnCalendar OnActiveSec OnBootSec OnStartupSec OnUnitActiveSec OnUnitInactiveSec Unit"),
    Group(Kind::Bool, 0, "OnClockChange OnTimezoneChange Persistent WakeSystem RemainAfterElapse FixedRandomDelay"),
    Group(Kind::Bool, 257, "DeferReactivation"),
    Group(Kind::Span, 0, "AccuracySec RandomizedDelaySec"),
    Group(Kind::Span, 258, "RandomizedOffsetSec"),
];

const PATH: &[Group] = &[
    Group(Kind::Opaque, 0, "PathExists PathExistsGlob PathChanged PathModified DirectoryNotEmpty Unit"),
    Group(Kind::Bool, 0, "MakeDirectory"),
    Group(Kind::Mode, 0, "DirectoryMode"),
    Group(Kind::Span, 0, "TriggerLimitIntervalSec"),
    Group(Kind::Unsigned, 0, "TriggerLimitBurst"),
];

const SLICE: &[Group] = &[Group(Kind::Opaque, 258, "ConcurrencyHardMax ConcurrencySoftMax")];

const SCOPE: &[Group] = &[
    Group(Kind::Span, 0, "RuntimeMaxSec RuntimeRandomizedExtraSec TimeoutStopSec"),
    Group(Kind::Choice(Choice::OomPolicy), 0, "OOMPolicy"),
];

const INSTALL: &[Group] =
    &[Group(Kind::Install, 0, "Alias WantedBy RequiredBy Also DefaultInstance"), Group(Kind::Install, 254, "UpheldBy")];

/// Which groups make up a section.
const SECTIONS: &[(&str, &[&[Group]])] = &[
    ("Unit", &[UNIT]),
    ("Install", &[INSTALL]),
    ("Service", &[SERVICE, EXEC, KILL, CGROUP]),
    ("Socket", &[SOCKET, EXEC, KILL, CGROUP]),
    ("Mount", &[MOUNT, EXEC, KILL, CGROUP]),
    ("Swap", &[SWAP, EXEC, KILL, CGROUP]),
    ("Automount", &[AUTOMOUNT]),
    ("Timer", &[TIMER]),
    ("Path", &[PATH]),
    ("Slice", &[SLICE, CGROUP]),
    ("Scope", &[SCOPE, CGROUP, KILL]),
];

/// (section, key) → how it is read, since when.
type Index = HashMap<(&'static str, &'static str), (Kind, u16)>;

static INDEX: LazyLock<Index> = LazyLock::new(|| {
    let mut index = Index::new();
    for (section, tables) in SECTIONS {
        for Group(kind, since, keys) in tables.iter().copied().flatten() {
            for key in keys.split_ascii_whitespace() {
                index.insert((*section, key), (*kind, *since));
            }
        }
    }
    index
});

/// How the key of a section is read; `None` if this version does not know it.
pub(crate) fn lookup(section: &str, key: &str, profile: Profile) -> Option<Kind> {
    let (kind, since) = INDEX.get(&(section, key))?;
    (*since <= profile.version()).then_some(match (key, kind) {
        ("PrivateTmp" | "PrivateUsers" | "ProtectControlGroups", Kind::Opaque) if profile < Profile::V257 => Kind::Bool,
        ("PrivateMounts", Kind::Tristate) if profile < Profile::V257 => Kind::Bool,
        (_, kind) => *kind,
    })
}

/// Whether a unit of this type may have this section.
pub(crate) fn has_section(unit: UnitType, section: &str) -> bool {
    let own = match unit {
        UnitType::Service => "Service",
        UnitType::Socket => "Socket",
        UnitType::Mount => "Mount",
        UnitType::Swap => "Swap",
        UnitType::Automount => "Automount",
        UnitType::Timer => "Timer",
        UnitType::Path => "Path",
        UnitType::Slice => "Slice",
        UnitType::Scope => "Scope",
        UnitType::Target | UnitType::Device => "",
    };
    matches!(section, "Unit" | "Install") || (!own.is_empty() && section == own)
}

/// Every key this version knows, with its section, in no particular order.
pub fn all(profile: Profile) -> impl Iterator<Item = (&'static str, &'static str)> {
    INDEX.iter().filter(move |(_, (_, since))| *since <= profile.version()).map(|(key, _)| *key)
}

/// The version that brought a key, if that was later than 252; `None` for an old or an unknown key.
pub fn since(section: &str, key: &str) -> Option<u16> {
    INDEX.get(&(section, key)).map(|(_, since)| *since).filter(|since| *since > 252)
}
