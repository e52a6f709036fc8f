//! Clients that are slow, silent or many: they lose their place, and the others do not notice.

use std::io::Read;

use serde_json::{Value, json};

use crate::harness::connection::{Connection, is_closed, post_head, tcp};
use crate::harness::pillion::{LOG_SHIPPER, Pillion, Setup, pod, review_of};

fn review() -> String {
    review_of("limits", &pod("web", "log-shipper")).to_string()
}

#[test]
fn silent_clients_lose_their_places_to_those_who_speak() {
    let pillion = Setup::new().template("log-shipper.yaml", LOG_SHIPPER).flags(["--max-connections", "3"]).start();
    // One says nothing at all, one shakes hands and falls silent, one stops in the middle of a head.
    let mut before_handshake = tcp(pillion.webhook).expect("the server listens");
    let mut after_handshake = pillion.connect();
    let mut within_head = pillion.connect();
    within_head.send(&post_head(10)[..40]).expect("the server takes bytes");

    // All places are taken: the first of them is closed for this one, and the others when their time is over.
    assert_eq!(pillion.connect().post(review().as_bytes()).status, 200);

    assert!(is_closed(before_handshake.read(&mut [0])));
    assert!(after_handshake.is_closed_by_server());
    assert!(within_head.is_closed_by_server());
}

#[test]
fn an_idle_connection_that_an_api_server_would_use_again_keeps_its_place() {
    let flags = ["--max-connections", "1", "--log-level", "debug"];
    let pillion = Setup::new().template("log-shipper.yaml", LOG_SHIPPER).flags(flags).start();
    let mut idle = pillion.connect();
    assert_eq!(idle.post(review().as_bytes()).status, 200);
    let waiting = tcp(pillion.webhook).expect("the server listens");
    pillion.logged("peer", &waiting.local_addr().expect("it is connected").to_string());

    for _ in 0..50 {
        assert_eq!(idle.post(review().as_bytes()).status, 200);
    }

    drop(idle);
    assert_eq!(pillion.connect().post(review().as_bytes()).status, 200);
}

#[test]
fn a_body_that_does_not_arrive_in_time_is_given_up() {
    let pillion = Setup::new().template("log-shipper.yaml", LOG_SHIPPER).flags(["--request-timeout", "300ms"]).start();
    let mut slow = pillion.connect();
    slow.send(post_head(1000)).expect("the head is taken");
    slow.send("{\"apiVersion\":").expect("a part of the body is taken");

    assert_eq!(slow.answer().status, 408);
    assert!(slow.is_closed_by_server(), "nobody knows where the next request would begin");
    assert_eq!(pillion.metric("pillion_inflight_requests", &[]), 0.0);
}

#[test]
fn slow_clients_do_not_hold_up_the_others() {
    let pillion = Pillion::start();
    let mut slow: Vec<Connection> = (0..50).map(|_| pillion.connect()).collect();
    for connection in &mut slow {
        connection.send(post_head(review().len())).expect("the head is taken");
        connection.send(&review()[..10]).expect("a part of the body is taken");
    }
    assert_eq!(pillion.post(review()).status, 200);
    for connection in &mut slow {
        connection.send(&review()[10..]).expect("the rest is taken");
        assert_eq!(connection.answer().status, 200);
    }
}

#[test]
fn a_review_that_is_small_and_takes_long_does_not_hold_up_the_others() {
    let counts_ports = "${{ container.ports.filter(p, p.containerPort > 80).size() }}".repeat(100);
    let costly = format!(
        "{{apiVersion: pillion.dev/v1alpha1, kind: ClusterInjectionTemplate, metadata: {{name: costly}}, spec: {{app: \
         [{{containers: ['*'], env: [{{name: PORTS, value: \"{counts_ports}\"}}]}}]}}}}"
    );
    // What holds up the only worker holds up everybody, the admin listener too.
    let pillion = Setup::new()
        .template("costly.yaml", &costly)
        .template("log-shipper.yaml", LOG_SHIPPER)
        .environment([("TOKIO_WORKER_THREADS", "1")])
        .start();
    let ports: Value = (1..=4).map(|at| json!({"name": format!("p{at}"), "containerPort": 80 + at})).collect();
    let mut asking = pod("web", "costly");
    asking["spec"]["containers"] =
        (0..256).map(|number| json!({"name": format!("c{number}"), "image": "app:1", "ports": ports})).collect();
    let long = review_of("long", &asking).to_string();
    let mut waiting = pillion.connect();
    waiting.send(post_head(long.len()) + &long).expect("the server takes bytes");

    crate::harness::eventually("the review to begin", || {
        (pillion.metric("pillion_inflight_requests", &[]) == 1.0).then_some(())
    });
    assert_eq!(pillion.post(review()).status, 200);
    assert_eq!(waiting.answer().status, 200);
    assert_eq!(pillion.logged("uid", "long")["outcome"], "injected");
}

#[test]
fn a_head_that_is_too_large_is_refused() {
    let pillion = Pillion::start();
    let mut connection = pillion.connect();
    let head = format!("POST /mutate HTTP/1.1\r\nHost: x\r\nX-Padding: {}\r\n\r\n", "x".repeat(200_000));
    // The server may hang up before it has all of it.
    let _ = connection.send(head);
    if let Ok(answer) = connection.try_answer() {
        assert_eq!(answer.status, 431);
    }
    assert_eq!(pillion.post(review()).status, 200);
}

#[test]
fn a_client_that_leaves_in_the_middle_is_forgotten() {
    let pillion = Pillion::start();
    let mut leaving = pillion.connect();
    leaving.send(post_head(1000)).expect("the head is taken");
    leaving.send("{").expect("a part of the body is taken");
    crate::harness::eventually("the request to begin", || {
        (pillion.metric("pillion_inflight_requests", &[]) == 1.0).then_some(())
    });
    drop(leaving);
    crate::harness::eventually("the request to end", || {
        (pillion.metric("pillion_inflight_requests", &[]) == 0.0).then_some(())
    });
}
