//! How the server goes away.

use std::path::Path;

use crate::harness::connection::post_head;
use crate::harness::eventually;
use crate::harness::pillion::{LOG_SHIPPER, Pillion, Setup, pod, review_of};
use crate::harness::process::Process;

fn review() -> String {
    review_of("drain", &pod("web", "log-shipper")).to_string()
}

#[test]
fn while_it_drains_it_is_ready_and_serves_on_and_asks_clients_to_go_elsewhere() {
    let mut pillion = Setup::new().template("log-shipper.yaml", LOG_SHIPPER).flags(["--drain-seconds", "600"]).start();
    let mut kept_alive = pillion.connect();
    assert_eq!(kept_alive.post(review().as_bytes()).header("connection"), None);

    pillion.signal("TERM");

    pillion.logged("message", "draining");
    assert_eq!(pillion.readyz(), 200);
    let verbose = pillion.ask_admin("/readyz?verbose").text();
    assert!(verbose.contains("[!]shutdown: the server is draining\n"), "{verbose}");
    assert_eq!(pillion.ask_admin("/livez").status, 200);
    for connection in [&mut kept_alive, &mut pillion.connect()] {
        let answer = connection.post(review().as_bytes());
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("connection"), Some("close"));
        assert!(connection.is_closed_by_server());
    }

    // Nobody needs to wait for the end of it.
    pillion.signal("INT");
    assert_eq!(pillion.exit_code(), 0);
}

#[test]
fn a_request_in_flight_is_finished_and_if_it_is_probed_it_ends_at_the_next_probe() {
    let mut pillion = Pillion::start();
    let mut in_flight = pillion.connect();
    let review = review();
    let (first, rest) = review.split_at(review.len() / 2);
    in_flight.send(post_head(review.len())).expect("the head is taken");
    in_flight.send(first).expect("half of the body is taken");
    eventually("the request to begin", || (pillion.metric("pillion_inflight_requests", &[]) == 1.0).then_some(()));

    pillion.signal("TERM");
    pillion.logged("message", "closing");
    assert_eq!(pillion.readyz(), 200, "the admin port closes last");
    in_flight.send(rest).expect("the other half is taken");

    let answer = in_flight.answer();
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("connection"), Some("close"));
    assert_eq!(answer.json()["response"]["allowed"], true);
    for _ in 0..50 {
        assert_eq!(pillion.ask_admin("/livez").status, 200, "it waits for the next probe");
    }
    assert_eq!(pillion.readyz(), 200);
    assert_eq!(pillion.exit_code(), 0);
}

#[test]
fn a_second_signal_does_not_wait_for_requests_in_flight() {
    let setup = Setup::new().template("log-shipper.yaml", LOG_SHIPPER);
    let mut pillion = setup.flags(["--request-timeout", "600s"]).start();
    let mut in_flight = pillion.connect();
    in_flight.send(post_head(review().len())).expect("the head is taken");
    eventually("the request to begin", || (pillion.metric("pillion_inflight_requests", &[]) == 1.0).then_some(()));

    pillion.signal("INT");
    pillion.logged("message", "closing");
    pillion.signal("INT");

    pillion.logged("message", "stopped by a second signal");
    assert_eq!(pillion.exit_code(), 0);
}

#[test]
fn idle_connections_do_not_keep_it_alive() {
    let pillion = Pillion::start();
    let mut used = pillion.connect();
    assert_eq!(used.post(review().as_bytes()).status, 200);
    let mut unused = pillion.connect();

    pillion.stop();

    assert!(used.is_closed_by_server());
    assert!(unused.is_closed_by_server());
}

#[test]
fn a_signal_is_handled_from_the_moment_the_server_listens() {
    let arguments = "serve --dev --listen 127.0.0.1:0 --admin-listen 127.0.0.1:0 --log-format json --drain-seconds 0";
    let mut process = Process::start(Path::new(env!("CARGO_BIN_EXE_pillion")), arguments.split(' '));
    process.stderr().find("the webhook's address", |line| line.contains("listening").then_some(()));

    process.signal("TERM");

    assert_eq!(process.exit_code(), 0);
}
