//! What a `/metrics` page says.

use std::collections::BTreeMap;

/// A page of the Prometheus text format: series, as written, to value.
#[derive(Debug)]
pub(crate) struct Metrics(BTreeMap<String, f64>);

impl Metrics {
    #[track_caller]
    pub(crate) fn parse(page: &str) -> Metrics {
        let samples = page.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
        Metrics(
            samples
                .map(|line| {
                    let (series, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("not a sample: {line}"));
                    let value = value.parse().unwrap_or_else(|e| panic!("{e}: {line}"));
                    (series.to_owned(), value)
                })
                .collect(),
        )
    }

    /// The sum over the series of `name` that have all of `labels`, each written `key="value"`.
    pub(crate) fn sum(&self, name: &str, labels: &[&str]) -> f64 {
        self.series(name)
            .filter(|(series, _)| labels.iter().all(|label| series.contains(label)))
            .fold(0.0, |sum, (_, value)| sum + value)
    }

    /// The series of one name.
    pub(crate) fn series<'a>(&'a self, name: &'a str) -> impl Iterator<Item = (&'a str, f64)> {
        self.0
            .iter()
            .filter(move |(series, _)| {
                series.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('{'))
            })
            .map(|(series, value)| (series.as_str(), *value))
    }
}
