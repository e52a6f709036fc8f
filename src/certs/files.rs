//! A certificate and a key in files, as a mounted Secret gives them, polled for new contents.
//!
//! They are polled because a Secret's files are links into a folder that is swapped, which a watch on the files would not
//! see. A new pair that cannot be served never replaces one that can. It is tried again at each poll, because the two files
//! may have been read between two writes, and a certificate may become valid.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Pair, PairError, Serving};

/// A chain of many certificates takes some ten kilobytes.
const MAX_BYTES: u64 = 1024 * 1024;

/// Why the pair in the files cannot be served.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FilesError {
    #[error("cannot read {}: {why}", path.display())]
    Unreadable { path: PathBuf, why: String },
    #[error("{}, {}: {why}", certificate.display(), key.display())]
    Unusable { certificate: PathBuf, key: PathBuf, why: PairError },
}

/// The two files, and the contents that are served.
pub(crate) struct Files {
    certificate: PathBuf,
    key: PathBuf,
    served: Contents,
    serving: Arc<Serving>,
}

#[derive(Eq, PartialEq)]
struct Contents {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

/// The result of a poll.
#[derive(Debug)]
pub(crate) enum Polled {
    /// Nothing has changed.
    Unchanged,
    /// A new pair is served from now on, until this second since 1970.
    Replaced(i64),
    /// The pair in the files cannot be served, so the older one is kept. Returned once for each reason.
    Refused(String),
}

impl Files {
    /// Reads the first pair. It must be good, because there is no older one to fall back to.
    pub(crate) fn open(certificate: PathBuf, key: PathBuf) -> Result<Files, FilesError> {
        let served = Contents::read(&certificate, &key)?;
        let pair = served.parse(&certificate, &key)?;
        Ok(Files { certificate, key, served, serving: Arc::new(Serving::new(pair)) })
    }

    /// Where the pair is served from.
    pub(crate) fn serving(&self) -> Arc<Serving> {
        Arc::clone(&self.serving)
    }

    /// Reads the files, and serves a new pair if it is good.
    pub(crate) fn poll(&mut self) -> Polled {
        match self.newer() {
            Ok(None) => {
                self.serving.refused.store(None);
                Polled::Unchanged
            }
            Ok(Some((contents, pair))) => {
                let not_after = pair.not_after();
                self.served = contents;
                self.serving.serve(pair);
                self.serving.refused.store(None);
                Polled::Replaced(not_after)
            }
            Err(error) => {
                let why = error.to_string();
                if self.serving.refused().is_some_and(|known| *known == why) {
                    return Polled::Unchanged;
                }
                self.serving.refused.store(Some(Arc::new(why.clone())));
                Polled::Refused(why)
            }
        }
    }

    fn newer(&self) -> Result<Option<(Contents, Pair)>, FilesError> {
        let contents = Contents::read(&self.certificate, &self.key)?;
        if contents == self.served {
            return Ok(None);
        }
        let pair = contents.parse(&self.certificate, &self.key)?;
        Ok(Some((contents, pair)))
    }
}

impl Contents {
    fn read(certificate: &Path, key: &Path) -> Result<Contents, FilesError> {
        Ok(Contents { certificate: read(certificate)?, key: read(key)? })
    }

    fn parse(&self, certificate: &Path, key: &Path) -> Result<Pair, FilesError> {
        Pair::from_pem(&self.certificate, &self.key)
            .and_then(|pair| pair.check_validity().map(|()| pair))
            .map_err(|why| FilesError::Unusable { certificate: certificate.into(), key: key.into(), why })
    }
}

fn read(path: &Path) -> Result<Vec<u8>, FilesError> {
    let unreadable = |error: io::Error| FilesError::Unreadable { path: path.into(), why: error.to_string() };
    let mut contents = Vec::new();
    File::open(path).and_then(|file| file.take(MAX_BYTES).read_to_end(&mut contents)).map_err(unreadable)?;
    Ok(contents)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;

    /// A self-signed certificate with its key, valid until the given year.
    fn pair(until: i32) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(until, 1, 1);
        (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
    }

    struct Folder(tempfile::TempDir);

    impl Folder {
        fn with(pair: &(String, String)) -> Folder {
            let folder = Folder(tempfile::tempdir().unwrap());
            folder.hold(&pair.0, &pair.1);
            folder
        }

        fn hold(&self, certificate: &str, key: &str) {
            fs::write(self.0.path().join("tls.crt"), certificate).unwrap();
            fs::write(self.0.path().join("tls.key"), key).unwrap();
        }

        fn open(&self) -> Result<Files, FilesError> {
            Files::open(self.0.path().join("tls.crt"), self.0.path().join("tls.key"))
        }
    }

    fn why(error: &FilesError) -> &PairError {
        match error {
            FilesError::Unusable { why, .. } => why,
            FilesError::Unreadable { .. } => panic!("{error}"),
        }
    }

    #[test]
    fn a_new_pair_is_served_from_the_next_poll_on() {
        let folder = Folder::with(&pair(2100));
        let mut files = folder.open().unwrap();
        assert!(matches!(files.poll(), Polled::Unchanged));
        let (certificate, key) = pair(2101);
        folder.hold(&certificate, &key);
        assert!(matches!(files.poll(), Polled::Replaced(4_133_980_800)));
        assert_eq!(files.serving().pair().unwrap().not_after(), 4_133_980_800);
        assert!(matches!(files.poll(), Polled::Unchanged));
    }

    #[test]
    fn a_bad_pair_never_replaces_a_good_one_and_is_refused_once() {
        let good = pair(2100);
        let folder = Folder::with(&good);
        let mut files = folder.open().unwrap();
        let served = files.serving().pair().unwrap();
        let expired = pair(2021);
        for (certificate, key, message) in [
            (&*pair(2101).0, &*good.1, "does not belong to the certificate"),
            (&expired.0, &expired.1, "expired on"),
            ("", &good.1, "holds no certificate"),
            (&good.0, "", "holds no private key"),
        ] {
            folder.hold(certificate, key);
            let Polled::Refused(why) = files.poll() else { panic!("not refused: {message}") };
            assert!(why.contains(message), "{why}");
            assert!(matches!(files.poll(), Polled::Unchanged));
            assert!(Arc::ptr_eq(&files.serving().pair().unwrap(), &served));
        }
        folder.hold(&good.0, &good.1);
        assert!(matches!(files.poll(), Polled::Unchanged));
        assert_eq!(files.serving().refused(), None);
    }

    #[test]
    fn there_is_no_start_with_an_expired_certificate() {
        let error = Folder::with(&pair(2021)).open().err().unwrap();
        assert!(matches!(why(&error), PairError::Expired(_)), "{error}");
    }
}
