//! One test a case.

use std::collections::BTreeSet;

use super::{agrees, cases};

macro_rules! tests {
    ($($name:ident)*) => {
        $(#[test]
        fn $name() {
            agrees(stringify!($name));
        })*

        #[test]
        fn every_case_has_a_test() {
            let tests: BTreeSet<String> = [$(stringify!($name)),*].iter().map(|name| name.replace('_', "-")).collect();
            let cases: BTreeSet<String> = cases::all().iter().map(|case| case.name.to_owned()).collect();
            let differ: Vec<&String> = tests.symmetric_difference(&cases).collect();
            assert!(differ.is_empty(), "{differ:?}");
        }
    };
}

tests! {
    activated_on_demand
    banner_each_minute
    banner_given
    banner_in_a_journal
    banner_other_gaps
    banner_recovered
    banner_start_up_lines
    banner_with_pids
    begins_in_the_loop
    bind_retries
    broken_chains
    cause_already_running
    cause_container_name
    cause_core_dump
    cause_exit_0
    cause_exit_3
    cause_lock_held
    cause_majority
    cause_not_its_own
    cause_port_once
    cause_protocol
    cause_resources
    cause_signal_kill
    cause_signal_oom
    cause_start_pre
    cause_tie
    cause_timeout
    cause_watchdog
    clock_back
    clock_back_by_hours
    clock_forward
    clock_forward_by_months
    container_logs
    core_dump_noise
    counter_reset
    crashes_hours_apart
    crashes_two_hours_apart
    cron_job_logs
    cut_by_a_reboot
    damaged_json
    damaged_texts
    dashed_description
    deploys
    deploys_and_a_crash
    description_like_systemd
    docker_healthy
    docker_loops
    dst_autumn
    dst_spring
    ended_no_word
    ended_not_yet
    ended_stopped_in_flight
    ended_stopped_in_the_wait
    escaped_name
    explained
    forged_identifier
    growing
    header_hint
    healthy_holder
    hosts
    identifiers_like_systemd
    incident
    incident_fixed
    incident_held_in_silence
    incident_just_served
    instances
    interleaved
    leap_day
    limit_after_one_restart
    limit_after_two_restarts
    limit_default
    limit_exits_0
    limit_refused_again
    limit_then_by_hand
    logged_by_a_child
    loop_in_the_second_boot
    lost_lines
    master_fails_to_boot
    names_alike
    no_description
    noise
    nothing_there
    notify_started
    once_a_boot
    oneshot_cron
    oneshot_succeeds
    oneshot_timer
    only_counters
    only_pairs
    only_systemd
    only_the_program
    options
    other_languages
    other_months
    out_of_order
    part_of
    path_limit
    period_100ms
    period_10min
    period_1min
    period_2s
    period_50min
    pm2_healthy
    pm2_loops
    port_conflict
    port_conflict_of_a_program
    port_docker
    port_go
    port_go_v6
    port_gunicorn
    port_java
    port_nginx
    port_node
    port_spring
    port_uvicorn_workers
    quoted_in_a_message
    quoted_in_an_app_log
    recovered_crash_hours_later
    recovered_then_one_more
    recycled_in_a_unit
    recycled_workers
    repeated_lines
    same_name_two_users
    sessions
    shared_identifier
    short_lived_processes
    socket_instances
    started_by_hand
    started_from_outside
    stops_that_time_out
    supervisord_healthy
    supervisord_loops
    three_restarts
    timer_simple
    twenty_units
    two_at_the_end
    two_boots
    two_causes
    two_owners
    two_that_hold
    uneven
    user_unit
    user_unit_port
    wording_219
    wording_219_limit
    wording_234
    wording_234_n_a
    wording_237
    wording_239
    wording_257
    year_roll_over
    zone_ahead
    zone_behind
}
