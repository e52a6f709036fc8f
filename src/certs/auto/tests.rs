//! Rotations of authorities and certificates, with simulated replicas, API servers and clock.
//!
//! At every step each API server must accept what each replica serves.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use proptest::prelude::*;
use rcgen::KeyPair;
use tokio::time::Instant;

use super::authority::{Authority, Leaf, Signer};
use super::config::Config;
use super::contents::{self, Credentials, Data, SecretParts, SecretProblem};
use super::memory::{At, Memory};
use super::plan::{SecretChange, Why};

const TICK: Duration = Duration::from_secs(3);
/// How many rounds after a change of the configuration the slowest API server knows it. Less than `propagation`.
const LAG: usize = 3;

struct World {
    config: Config,
    at: At,
    secret: Option<Data>,
    /// The `caBundle` of each webhook.
    bundles: [Vec<u8>; 3],
    /// What API servers knew in the last rounds, the newest last.
    known: VecDeque<[Vec<u8>; 3]>,
    replicas: Vec<Replica>,
    leader: usize,
    changes: Vec<SecretChange>,
}

#[derive(Default)]
struct Replica {
    memory: Memory,
    serves: Option<Leaf>,
}

impl World {
    /// Three replicas whose certificates live 100 seconds and whose authorities live 300.
    fn new() -> World {
        let config = Config {
            namespace: "pillion".into(),
            secret: "pillion-certs".into(),
            webhook_configuration: "pillion".into(),
            names: vec!["pillion.pillion.svc".into(), "127.0.0.1".into()],
            duration: Duration::from_secs(100),
            renew_before: Duration::from_secs(60),
            ca_duration: Duration::from_secs(300),
            propagation: Duration::from_secs(10),
        };
        config.validate().unwrap();
        World {
            config,
            at: At { wall: "2026-11-21T12:00:00Z".parse().unwrap(), monotonic: Instant::now() },
            secret: None,
            bundles: Default::default(),
            known: VecDeque::new(),
            replicas: (0..3).map(|_| Replica::default()).collect(),
            leader: 0,
            changes: Vec::new(),
        }
    }

    /// As [`World::new`], after some rounds: all replicas serve, and all API servers know the authority.
    fn settled() -> World {
        let mut world = World::new();
        world.round();
        for _ in 0..10 {
            world.tick();
        }
        world.changes.clear();
        world
    }

    /// Some seconds pass, each replica has a round, and each API server calls each replica.
    fn tick(&mut self) {
        self.at.wall += TICK;
        self.at.monotonic += TICK;
        self.round();
        self.try_all();
    }

    fn tick_for(&mut self, time: Duration) {
        for _ in 0..time.as_secs() / TICK.as_secs() {
            self.tick();
        }
    }

    fn round(&mut self) {
        // Followers before the leader too.
        for replica in 0..self.replicas.len() {
            if replica == self.leader { self.lead(replica) } else { self.follow(replica) }
        }
        self.known.push_back(self.bundles.clone());
        if self.known.len() > LAG + 1 {
            self.known.pop_front();
        }
    }

    fn lead(&mut self, replica: usize) {
        let webhooks = self.webhooks();
        let parts = self.parts();
        let Replica { memory, serves } = &mut self.replicas[replica];
        if let Some(parts) = &parts {
            memory.note_trusted(self.at, &parts.authorities, &webhooks);
        }
        let (credentials, changes) = memory.plan(self.at, parts.as_ref(), &webhooks, &self.config).unwrap();
        if !changes.is_empty() {
            credentials.write(self.secret.get_or_insert_default());
        }
        self.changes.extend(changes);
        self.bundles.fill(credentials.bundle());
        if let Some((leaf, _)) = memory.adopt(self.at, &credentials, &self.config) {
            *serves = Some(leaf.clone());
        }
    }

    fn follow(&mut self, replica: usize) {
        let webhooks = self.webhooks();
        let Some(parts) = self.parts() else { return };
        let Replica { memory, serves } = &mut self.replicas[replica];
        if let Some((leaf, _)) = memory.adopt_parts(self.at, &parts, &self.config) {
            *serves = Some(leaf.clone());
        }
        memory.note_trusted(self.at, &parts.authorities, &webhooks);
    }

    fn parts(&self) -> Option<SecretParts> {
        self.secret.as_ref().map(|data| SecretParts::read(Some(data), self.at.wall))
    }

    #[track_caller]
    fn credentials(&self) -> Credentials {
        let parts = self.parts().expect("a Secret");
        parts.complete().unwrap_or_else(|| panic!("{:?}", parts.problems))
    }

    fn webhooks(&self) -> Vec<Vec<Authority>> {
        self.bundles.iter().map(|bundle| contents::bundle(bundle).0).collect()
    }

    /// Each API server calls each replica.
    #[track_caller]
    fn try_all(&self) {
        let known = self.known.iter().flatten().collect::<BTreeSet<_>>();
        let known = known.into_iter().map(|bundle| contents::bundle(bundle)).collect::<Vec<_>>();
        for (number, replica) in self.replicas.iter().enumerate() {
            let Some(leaf) = &replica.serves else { continue };
            leaf.check_validity(self.at.wall).unwrap();
            for (trusted, foreign) in &known {
                assert_eq!(*foreign, Vec::<String>::new());
                let takes = |authority: &Authority| authority.is_valid_at(self.at.wall) && authority.signed(leaf);
                assert!(trusted.iter().any(takes), "replica {number} is not trusted after {:?}", self.changes);
            }
        }
    }

    fn restart(&mut self, replica: usize) {
        self.replicas[replica] = Replica::default();
    }

    #[track_caller]
    fn change(&mut self, key: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let data = self.secret.as_mut().expect("a Secret");
        change(&mut data.entry(key.to_owned()).or_default().0);
    }

    fn count(&self, wanted: impl Fn(&SecretChange) -> bool) -> usize {
        self.changes.iter().filter(|change| wanted(change)).count()
    }

    fn problems(&self) -> Vec<&SecretProblem> {
        self.changes
            .iter()
            .filter_map(|change| if let SecretChange::Repaired(problem) = change { Some(problem) } else { None })
            .collect()
    }
}

/// A certificate and a key of another authority than ours.
fn foreign(world: &World) -> Credentials {
    let signer = Signer::make(world.at.wall, world.config.ca_duration).unwrap();
    let leaf = signer.issue(&world.config.names, world.at.wall, world.config.duration).unwrap();
    Credentials { authorities: vec![signer.authority.clone()], signer, leaf }
}

fn data(credentials: &Credentials) -> Data {
    let mut data = Data::new();
    credentials.write(&mut data);
    data
}

/// What a person, or a tool, may do to a Secret.
type Damage = (&'static str, fn(&mut World));

const DAMAGES: [Damage; 14] = [
    ("deleted", |world| world.secret = None),
    ("emptied", |world| world.secret = Some(Data::new())),
    ("garbage for all", |world| {
        for key in ["ca.crt", "ca.key", "tls.crt", "tls.key"] {
            world.change(key, |value| *value = b"garbage".to_vec());
        }
    }),
    ("no bundle", |world| world.change("ca.crt", Vec::clear)),
    ("half a bundle", |world| world.change("ca.crt", |value| value.truncate(value.len() / 2))),
    ("a huge bundle", |world| world.change("ca.crt", |value| value.extend(vec![b'\n'; 1 << 20]))),
    ("no signing key", |world| world.change("ca.key", Vec::clear)),
    ("another signing key", |world| {
        let key = KeyPair::generate().unwrap().serialize_pem();
        world.change("ca.key", |value| *value = key.into_bytes());
    }),
    ("no key", |world| world.change("tls.key", Vec::clear)),
    ("another key", |world| {
        let key = KeyPair::generate().unwrap().serialize_pem();
        world.change("tls.key", |value| *value = key.into_bytes());
    }),
    ("no certificate", |world| world.change("tls.crt", Vec::clear)),
    ("a certificate of another authority", |world| {
        let foreign = foreign(world);
        world.change("tls.crt", |value| *value = foreign.leaf.certificate);
        world.change("tls.key", |value| *value = foreign.leaf.key);
    }),
    ("an expired certificate", |world| {
        let leaf = world.credentials().signer.issue(&world.config.names, world.at.wall, Duration::ZERO).unwrap();
        world.change("tls.crt", |value| *value = leaf.certificate);
        world.change("tls.key", |value| *value = leaf.key);
    }),
    ("authority and certificate swapped", |world| {
        let data = world.secret.as_mut().unwrap();
        let [authority, certificate] = ["ca.crt", "tls.crt"].map(|key| data[key].clone());
        data.extend([("ca.crt".to_owned(), certificate), ("tls.crt".to_owned(), authority)]);
    }),
];

#[test]
fn the_first_round_of_the_leader_makes_everything_and_nothing_changes_after_that() {
    let mut world = World::new();
    world.round();
    let missing = Why::Missing;
    assert_eq!(
        world.changes,
        [SecretChange::Created, SecretChange::NewAuthority(missing), SecretChange::NewCertificate(missing)]
    );
    let first = world.secret.clone();
    world.tick_for(Duration::from_secs(30));
    assert_eq!(world.changes.len(), 3);
    assert_eq!(world.secret, first);
    assert!(world.replicas.iter().all(|replica| replica.serves.is_some()));
}

#[test]
fn certificates_and_authorities_are_replaced_for_ever_and_no_call_fails() {
    let mut world = World::settled();
    for _ in 0..400 {
        world.tick();
        let credentials = world.credentials();
        assert!(credentials.leaf.not_after() <= credentials.authorities.iter().map(|it| it.not_after).max().unwrap());
        assert!(credentials.authorities.len() <= 2, "old authorities are removed");
    }
    assert_eq!(world.problems(), Vec::<&SecretProblem>::new());
    // In 1,200 seconds.
    assert!(world.count(|change| *change == SecretChange::NewAuthority(Why::EndsSoon)) >= 6);
    assert!(world.count(|change| *change == SecretChange::NewCertificate(Why::NewAuthorityIsKnown)) >= 6);
    assert!(world.count(|change| *change == SecretChange::NewCertificate(Why::EndsSoon)) >= 12);
    assert!(world.count(|change| *change == SecretChange::AuthorityRemoved) >= 5);
}

#[test]
fn a_new_authority_signs_only_when_every_webhook_has_trusted_it_for_long_enough() {
    let mut world = World::settled();
    while world.count(|change| matches!(change, SecretChange::NewAuthority(_))) == 0 {
        world.tick();
    }
    let published = world.at;
    // Somebody resets one webhook in the middle of it.
    world.tick();
    let old = world.credentials().authorities[1].pem().into_bytes();
    world.bundles[1] = old;
    // A clock that jumps shortens nothing.
    world.at.wall += Duration::from_secs(20);
    let reset = world.at;
    while world.count(|change| *change == SecretChange::NewCertificate(Why::NewAuthorityIsKnown)) == 0 {
        world.tick();
    }
    assert!(published.monotonic < reset.monotonic);
    let waited = world.at.monotonic - reset.monotonic;
    assert!(waited >= world.config.propagation, "{waited:?}");
    assert!(waited < world.config.propagation + 4 * TICK, "{waited:?}");
}

#[test]
fn a_leader_may_be_killed_at_any_moment_of_a_rotation() {
    // The new authority is due 190 seconds after the first.
    for moment in 0..12 {
        let mut world = World::settled();
        world.tick_for(Duration::from_secs(144) + moment * TICK);
        world.leader = usize::MAX;
        world.restart(0);
        world.tick_for(Duration::from_secs(15));
        world.leader = 1;
        world.tick_for(Duration::from_secs(60));
        assert_eq!(world.count(|change| matches!(change, SecretChange::NewAuthority(_))), 1);
        assert_eq!(world.count(|change| *change == SecretChange::NewCertificate(Why::NewAuthorityIsKnown)), 1);
    }
}

#[test]
fn the_next_leader_has_measured_the_propagation_already() {
    let mut world = World::settled();
    while world.count(|change| matches!(change, SecretChange::NewAuthority(_))) == 0 {
        world.tick();
    }
    let published = world.at;
    while world.count(|change| matches!(change, SecretChange::NewCertificate(Why::NewAuthorityIsKnown))) == 0 {
        world.leader = (world.leader + 1) % 3;
        world.tick();
    }
    assert!(world.at.monotonic - published.monotonic < world.config.propagation + 3 * TICK);
}

#[test]
fn damage_is_repaired_from_memory_to_what_was_there_before() {
    for (damage, inflict) in DAMAGES {
        let mut world = World::settled();
        let before = world.secret.clone();
        inflict(&mut world);
        assert_ne!(world.secret, before, "{damage}");
        world.tick();
        assert_eq!(world.secret, before, "{damage}");
        assert!(!world.problems().is_empty(), "{damage}");
        assert_eq!(world.changes.len(), world.problems().len(), "{damage}: {:?}", world.changes);
        world.tick();
        assert_eq!(world.changes.len(), world.problems().len(), "{damage}: nothing more");
    }
}

#[test]
fn damage_that_nobody_remembers_a_way_back_from_is_repaired_too() {
    for (damage, inflict) in DAMAGES {
        let mut world = World::settled();
        (0..3).for_each(|replica| world.restart(replica));
        inflict(&mut world);
        // What was published stays trusted.
        let before = world.webhooks().concat();
        for _ in 0..20 {
            world.at.wall += TICK;
            world.at.monotonic += TICK;
            world.round();
        }
        world.try_all();
        let credentials = world.credentials();
        assert!(before.iter().all(|authority| credentials.authorities.contains(authority)), "{damage}");
        assert!(world.count(|change| matches!(change, SecretChange::NewAuthority(_))) <= 1, "{damage}");
        assert!(world.replicas.iter().all(|replica| replica.serves.is_some()), "{damage}");
        let changes = world.changes.len();
        world.tick();
        assert_eq!(world.changes.len(), changes, "{damage}: nothing more");
    }
}

#[test]
fn without_its_key_an_authority_is_replaced_while_its_certificate_is_still_served() {
    let mut world = World::settled();
    (0..3).for_each(|replica| world.restart(replica));
    world.change("ca.key", Vec::clear);
    let served = world.secret.as_ref().unwrap()["tls.crt"].clone();
    world.tick();
    assert_eq!(
        world.changes,
        [SecretChange::Repaired(SecretProblem::SigningKey), SecretChange::NewAuthority(Why::Missing)]
    );
    assert_eq!(world.secret.as_ref().unwrap()["tls.crt"], served);
    world.tick_for(Duration::from_secs(20));
    assert_eq!(world.changes[2..], [SecretChange::NewCertificate(Why::NewAuthorityIsKnown)]);
}

#[test]
fn a_new_leader_that_must_make_an_authority_keeps_the_others_trusted() {
    let mut world = World::settled();
    world.restart(0);
    world.secret = None;
    let old = world.webhooks().concat();
    // The leader serves what API servers have yet to learn, because it has nothing better. The others do not.
    for _ in 0..10 {
        world.at.wall += TICK;
        world.at.monotonic += TICK;
        world.round();
        let fresh = world.replicas[0].serves.take();
        world.try_all();
        world.replicas[0].serves = fresh;
    }
    world.try_all();
    assert!(world.credentials().authorities.contains(&old[0]));
    assert_ne!(world.credentials().signer.authority, old[0]);
}

#[test]
fn a_certificate_that_nobody_trusts_any_more_is_replaced() {
    let mut world = World::settled();
    world.restart(0);
    world.secret = None;
    world.bundles.fill(Vec::new());
    for _ in 0..=LAG {
        world.round();
    }
    world.try_all();
}

#[test]
fn a_secret_that_is_replaced_as_a_whole_is_taken_without_a_failed_call() {
    let mut world = World::settled();
    let foreign = foreign(&world);
    world.secret = Some(data(&foreign));
    world.tick();
    assert_eq!(world.problems(), [&SecretProblem::ServedAuthorityMissing]);
    world.tick_for(Duration::from_secs(30));
    assert_eq!(world.changes.len(), 1);
    let serves = world.replicas.iter().map(|replica| &replica.serves.as_ref().unwrap().certificate);
    assert!(serves.eq([&foreign.leaf.certificate; 3]));
}

#[test]
fn other_authorities_in_the_bundle_are_kept_and_what_is_no_authority_is_removed() {
    let mut world = World::settled();
    let foreign = foreign(&world);
    world.change("ca.crt", |value| value.extend(foreign.authorities[0].pem().into_bytes()));
    world.tick();
    assert_eq!(world.changes, []);
    assert!(world.webhooks().iter().all(|trusted| trusted.contains(&foreign.authorities[0])));

    let leaf = world.credentials().leaf.certificate;
    world.change("ca.crt", |value| value.extend(leaf));
    world.tick();
    assert!(matches!(world.problems()[..], [SecretProblem::NotAnAuthority(_)]), "{:?}", world.changes);
    assert_eq!(world.credentials().authorities.len(), 2);
}

#[test]
fn a_bundle_does_not_grow_without_end() {
    let mut world = World::settled();
    for _ in 0..20 {
        let foreign = foreign(&world);
        world.change("ca.crt", |value| value.extend(foreign.authorities[0].pem().into_bytes()));
    }
    world.tick();
    assert_eq!(world.changes, [SecretChange::AuthorityRemoved]);
    assert_eq!(world.credentials().authorities.len(), 8);
    world.tick();
    assert_eq!(world.changes.len(), 1);
}

#[test]
fn other_names_need_another_certificate() {
    let mut world = World::settled();
    world.config.names.push("pillion.example.com".into());
    world.tick();
    assert_eq!(world.changes, [SecretChange::NewCertificate(Why::OtherNames)]);
    world.tick();
    assert_eq!(world.changes.len(), 1);
    assert!(world.config.names.iter().all(|name| world.credentials().leaf.is_for(name)));
}

#[test]
fn certificates_settle_after_a_clock_has_jumped() {
    let hour = 3600;
    for jump in [-30, 30, -hour, hour, -24 * hour, 24 * hour, -20 * 365 * 24 * hour, 20 * 365 * 24 * hour] {
        let mut world = World::settled();
        for direction in [1, -1] {
            let wall = world.at.wall.as_second() + direction * jump;
            world.at.wall = Timestamp::from_second(wall).unwrap();
            for _ in 0..3 {
                world.round();
                world.at.monotonic += TICK;
            }
            // From here on all calls succeed again, and authorities are not made one after another.
            world.changes.clear();
            world.tick_for(Duration::from_secs(30));
            assert!(world.count(|change| matches!(change, SecretChange::NewAuthority(_))) <= 1, "{:?}", world.changes);
        }
    }
}

#[test]
fn a_cluster_recovers_after_everything_has_expired() {
    let mut world = World::settled();
    (0..3).for_each(|replica| world.restart(replica));
    world.at.wall += Duration::from_secs(100_000);
    for _ in 0..2 + LAG {
        world.round();
    }
    world.tick_for(Duration::from_secs(30));
    assert_eq!(world.count(|change| matches!(change, SecretChange::NewAuthority(_))), 1);
    assert_eq!(world.credentials().authorities.len(), 1);
}

#[test]
fn no_message_holds_a_part_of_a_key() {
    let key = KeyPair::generate().unwrap().serialize_pem();
    let body = key.lines().nth(1).unwrap();
    let torn = [
        key.replace('\n', ""),
        key.replacen("-----\n", "", 1),
        key.replacen('\n', "\n!", 2),
        key.replace("-----END", "-----"),
        key.replace("PRIVATE KEY", "EC PRIVATE KEY"),
        key.replace("PRIVATE KEY", "CERTIFICATE"),
        format!("-----BEGIN CERTIFICATE {body}"),
        body.to_owned(),
    ];
    for torn in torn {
        for name in ["ca.crt", "ca.key", "tls.crt", "tls.key"] {
            let mut world = World::settled();
            world.change(name, |value| *value = torn.clone().into_bytes());
            let problems = world.parts().unwrap().problems;
            assert!(!problems.is_empty(), "{name}: {torn}");
            for problem in problems {
                let text = format!("{problem} {problem:?}");
                let bytes = format!("{:?}", &body.as_bytes()[..8]);
                let is_quoted = [&body[..8], bytes.trim_matches(['[', ']'])].iter().any(|part| text.contains(part));
                assert!(!is_quoted, "{text}");
            }
        }
    }
}

#[test]
fn times_that_do_not_fit_together_and_invalid_names_are_refused() {
    let refused = |change: fn(&mut Config)| {
        let mut config = World::new().config;
        change(&mut config);
        config.validate().unwrap_err().to_string()
    };
    for change in [
        (|config| config.propagation = config.renew_before) as fn(&mut Config),
        |config| config.renew_before = config.duration,
        |config| config.ca_duration = config.duration,
        |config| config.ca_duration = Duration::MAX,
    ] {
        assert!(refused(change).contains("do not fit together"));
    }
    assert!(refused(|config| config.names.clear()).contains("--certs-name is missing"));
    assert!(refused(|config| config.names.push("a b".into())).contains("\"a b\" is neither"));
}

#[derive(Clone, Debug)]
enum Event {
    Ticks(u8),
    Leads(usize),
    Restarts(usize),
    Damage(usize),
    Resets(usize),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        6 => (1..12_u8).prop_map(Event::Ticks),
        2 => (0..3_usize).prop_map(Event::Leads),
        2 => (0..3_usize).prop_map(Event::Restarts),
        2 => (0..DAMAGES.len()).prop_map(Event::Damage),
        1 => (0..3_usize).prop_map(Event::Resets),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn no_call_fails_as_long_as_one_replica_remembers_the_secret(events in prop::collection::vec(event(), 1..60)) {
        let mut world = World::settled();
        for event in events {
            match event {
                Event::Ticks(ticks) => (0..ticks).for_each(|_| world.tick()),
                Event::Leads(replica) => world.leader = replica,
                Event::Restarts(replica) => {
                    // It comes up before anything else goes wrong: two faults at a time are too many.
                    world.restart(replica);
                    world.tick();
                }
                Event::Damage(damage) => {
                    DAMAGES[damage].1(&mut world);
                    world.tick();
                }
                // API servers may not have noticed yet.
                Event::Resets(webhook) => {
                    world.bundles[webhook].clear();
                    world.tick();
                }
            }
        }
        world.tick_for(Duration::from_secs(30));
        world.credentials();
    }
}
