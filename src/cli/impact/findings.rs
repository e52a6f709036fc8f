//! What is found about all workloads, put together by template: one finding for all workloads of which it is true.

use std::collections::{BTreeSet, HashMap};

use pillion_engine::decision::{Outcome, Reason};

use super::difference::Difference;
use super::sides::{Key, Status};

/// The result of a template, or of a pod as a whole.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(super) struct Outcomes {
    pub(super) outcome: Outcome,
    pub(super) reason: Reason,
    pub(super) message: Option<String>,
}

impl Outcomes {
    /// Whether nothing has changed. Of a template that cannot be loaded the message has a place, which changes for other
    /// reasons; what is wrong with it is told elsewhere.
    pub(super) fn is_same(&self, other: &Outcomes) -> bool {
        let is_same_message = self.reason == Reason::InvalidTemplate || self.message == other.message;
        (self.outcome, self.reason) == (other.outcome, other.reason) && is_same_message
    }
}

/// What is found about a workload.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(super) enum Finding {
    /// Its pods were created, and are refused.
    NewlyRefused { now: Outcomes },
    /// They are refused as before, for another reason.
    RefusedOtherwise { before: Outcomes, now: Outcomes },
    /// They are refused as before, and now because of this template.
    RefusesToo { now: Outcomes },
    /// They are refused as before, and no more because of this template.
    RefusesNoMore { before: Outcomes },
    /// They were refused, and are created.
    NoLongerRefused { before: Outcomes },
    /// They had what the template gives, and get nothing of it.
    NewlySkipped { now: Outcomes },
    /// They got nothing of the template, and get it.
    NewlyInjected { before: Outcomes },
    /// They get nothing of the template, as before, for another reason.
    SkippedOtherwise { before: Outcomes, now: Outcomes },
    /// They get something else than before.
    Differs(Difference),
    /// The manifest has the template's containers already, and pods that are made of it keep those.
    Kept,
    /// There is something to know that was not before.
    Warned(String),
}

/// The result of a comparison for a workload, the most important first.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Class {
    NewlyRefused,
    NoLongerRefused,
    NewlySkipped,
    NewlyInjected,
    Changed,
    Kept,
    StillRefused,
    /// Refused, but not because of the template at hand.
    RefusedForOthers,
    Unchanged,
}

impl Class {
    /// All of them, in their order.
    pub(super) const ALL: [Class; 9] = [
        Class::NewlyRefused,
        Class::NoLongerRefused,
        Class::NewlySkipped,
        Class::NewlyInjected,
        Class::Changed,
        Class::Kept,
        Class::StillRefused,
        Class::RefusedForOthers,
        Class::Unchanged,
    ];
}

impl Finding {
    /// What a workload is by this alone.
    pub(super) fn class(&self) -> Class {
        match self {
            Finding::NewlyRefused { .. } => Class::NewlyRefused,
            Finding::NoLongerRefused { .. } => Class::NoLongerRefused,
            Finding::NewlySkipped { .. } => Class::NewlySkipped,
            Finding::NewlyInjected { .. } => Class::NewlyInjected,
            Finding::Differs(_) => Class::Changed,
            Finding::Kept => Class::Kept,
            Finding::RefusedOtherwise { .. } | Finding::RefusesToo { .. } | Finding::RefusesNoMore { .. } => {
                Class::StillRefused
            }
            Finding::SkippedOtherwise { .. } | Finding::Warned(_) => Class::Unchanged,
        }
    }

    /// Where it stands among others: what needs someone to act comes first.
    fn rank(&self) -> usize {
        match self {
            Finding::NewlyRefused { .. } => 0,
            Finding::NoLongerRefused { .. } => 1,
            Finding::RefusesToo { .. } => 2,
            Finding::RefusedOtherwise { .. } => 3,
            Finding::RefusesNoMore { .. } => 4,
            Finding::NewlySkipped { .. } => 5,
            Finding::NewlyInjected { .. } => 6,
            Finding::SkippedOtherwise { .. } => 7,
            Finding::Warned(_) => 8,
            Finding::Differs(_) => 9,
            Finding::Kept => 10,
        }
    }

    /// What it is about: of what differs in no more than values a few are enough to see.
    fn subject(&self) -> String {
        let words = match self {
            Finding::NewlyRefused { now } | Finding::NewlySkipped { now } => now.reason.to_string(),
            Finding::NoLongerRefused { before } | Finding::NewlyInjected { before } => before.reason.to_string(),
            Finding::RefusesToo { now } => now.reason.to_string(),
            Finding::RefusesNoMore { before } => before.reason.to_string(),
            Finding::RefusedOtherwise { before, now } | Finding::SkippedOtherwise { before, now } => {
                format!("{} {}", before.reason, now.reason)
            }
            Finding::Differs(difference) => difference.place(None),
            Finding::Kept | Finding::Warned(_) => String::new(),
        };
        format!("{} {words}", self.rank())
    }
}

/// How many workloads are of each class.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally([usize; Class::ALL.len()]);

impl Tally {
    pub(super) fn add(&mut self, class: Class) {
        self.0[class as usize] += 1;
    }

    pub(super) fn of(&self, class: Class) -> usize {
        self.0[class as usize]
    }

    pub(super) fn total(&self) -> usize {
        self.0.iter().sum()
    }
}

/// A finding and the workloads of which it is true, by their numbers.
pub(super) struct Group {
    pub(super) finding: Finding,
    pub(super) workloads: Vec<usize>,
    /// The containers of the pods themselves that it is about.
    pub(super) containers: BTreeSet<String>,
}

impl Group {
    /// The one container that it is about, if it is about one.
    pub(super) fn container(&self) -> Option<&str> {
        self.containers.first().filter(|_| self.containers.len() == 1).map(String::as_str)
    }
}

/// All that is found about one template.
pub(super) struct OfTemplate {
    /// `None` for what several templates do together.
    pub(super) key: Option<Key>,
    pub(super) status: Status,
    pub(super) tally: Tally,
    pub(super) groups: Vec<Group>,
    known: HashMap<Finding, usize>,
}

/// Findings with the same subject, of which the most frequent are shown.
pub(super) struct Cluster<'g> {
    pub(super) shown: Vec<&'g Group>,
    pub(super) hidden: Vec<&'g Group>,
}

impl OfTemplate {
    pub(super) fn new(key: Option<Key>, status: Status) -> OfTemplate {
        OfTemplate { key, status, tally: Tally::default(), groups: Vec::new(), known: HashMap::new() }
    }

    /// Whether there is anything to tell of it.
    pub(super) fn is_of_interest(&self) -> bool {
        !self.groups.is_empty() || !matches!(self.status, Status::Unchanged | Status::StillBroken | Status::Unknown)
    }

    /// Notes a finding about a workload, and in which container of its pod it is.
    pub(super) fn note(&mut self, finding: Finding, workload: usize, container: Option<String>) {
        let number = *self.known.entry(finding.clone()).or_insert_with(|| {
            self.groups.push(Group { finding, workloads: Vec::new(), containers: BTreeSet::new() });
            self.groups.len() - 1
        });
        let group = &mut self.groups[number];
        group.containers.extend(container);
        // A pod can have several containers that get the same.
        if group.workloads.last() != Some(&workload) {
            group.workloads.push(workload);
        }
    }

    /// The findings in the order in which they are told, at most `most` about one thing.
    pub(super) fn clusters(&self, most: usize) -> Vec<Cluster<'_>> {
        let mut clusters: Vec<(usize, String, Vec<&Group>)> = Vec::new();
        let mut known = HashMap::new();
        for group in &self.groups {
            let subject = group.finding.subject();
            let number = *known.entry(subject.clone()).or_insert_with(|| {
                clusters.push((group.finding.rank(), subject, Vec::new()));
                clusters.len() - 1
            });
            clusters[number].2.push(group);
        }
        clusters.sort_by_key(|(rank, ..)| *rank);
        let cluster = |(_, _, mut groups): (usize, String, Vec<_>)| {
            groups.sort_by_key(|group: &&Group| std::cmp::Reverse(group.workloads.len()));
            let hidden = groups.split_off(groups.len().min(most));
            Cluster { shown: groups, hidden }
        };
        clusters.into_iter().map(cluster).collect()
    }
}
