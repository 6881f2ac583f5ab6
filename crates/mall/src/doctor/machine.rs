//! What the machine gives: who may read the files, and how much room is left.

use super::{Finding, bytes};

/// Less room than this, and writes fail any moment.
const FREE_FAIL_BYTES: u64 = 128 << 20;
/// Less room than this is worth a look.
const FREE_WARN_BYTES: u64 = 1 << 30;
/// So is a smaller share of the disk than this, in percent.
const FREE_WARN_PERCENT: u64 = 5;

/// Who else may touch a file, from the permission bits of it and its directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileMode {
    /// The file's.
    pub file: u32,
    /// Its directory's.
    pub directory: u32,
}

impl FileMode {
    /// Whether people outside of the file's group come through its directory.
    fn others_reach_it(self) -> bool {
        self.directory & 0o001 != 0
    }

    fn octal(self) -> String {
        format!("{:04o} in a directory of {:04o}", self.file & 0o7777, self.directory & 0o7777)
    }
}

/// Room on a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// Bytes that this process may still use.
    pub free: u64,
    /// Bytes of the whole disk.
    pub total: u64,
}

/// Judges the permissions of the sealing key's file: it is for its owner alone, whose bits stand
/// above the six of the others.
pub fn key_file(mode: FileMode) -> Finding {
    let name = "key file";
    if mode.file.trailing_zeros() >= 6 {
        return Finding::ok(name, mode.octal());
    }
    let detail = format!("{}: others can read it", mode.octal());
    Finding::warn(name, detail).advise("chmod 600 it")
}

/// Judges the permissions of a SQLite file.
pub fn database_file(mode: FileMode) -> Finding {
    let name = "database file";
    if !mode.others_reach_it() || mode.file & 0o006 == 0 {
        return Finding::ok(name, mode.octal());
    }
    let advice = "chmod 700 its directory";
    if mode.file & 0o002 != 0 {
        return Finding::fail(name, format!("{}: anybody can write it", mode.octal()))
            .advise(advice);
    }
    Finding::warn(name, format!("{}: anybody can read it", mode.octal())).advise(advice)
}

/// Judges the room left where the database stands.
pub fn disk_space(space: Space) -> Finding {
    let name = "disk space";
    let percent = (u128::from(space.free) * 100).checked_div(u128::from(space.total)).unwrap_or(0);
    let detail = format!("{} of {} free ({percent} %)", bytes(space.free), bytes(space.total));
    let advice = "make room: the mall takes no orders once the disk is full";
    if space.free < FREE_FAIL_BYTES {
        Finding::fail(name, detail).advise(advice)
    } else if space.free < FREE_WARN_BYTES || percent < u128::from(FREE_WARN_PERCENT) {
        Finding::warn(name, detail).advise(advice)
    } else {
        Finding::ok(name, detail)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    #[test]
    fn files_are_for_their_owner() {
        let key = |file| key_file(FileMode { file, directory: 0o40_700 }).verdict;
        assert_eq!(key(0o100_600), Verdict::Ok);
        assert_eq!(key(0o100_400), Verdict::Ok);
        assert_eq!(key(0o100_640), Verdict::Warn);
        assert_eq!(key(0o100_604), Verdict::Warn);
        let database = |file, directory| database_file(FileMode { file, directory }).verdict;
        assert_eq!(database(0o644, 0o700), Verdict::Ok);
        assert_eq!(database(0o640, 0o755), Verdict::Ok);
        assert_eq!(database(0o644, 0o755), Verdict::Warn);
        assert_eq!(database(0o666, 0o755), Verdict::Fail);
    }

    #[test]
    fn room_is_judged_by_bytes_and_by_share() {
        let verdict = |free, total| disk_space(Space { free, total }).verdict;
        assert_eq!(verdict(50 << 30, 100 << 30), Verdict::Ok);
        assert_eq!(verdict(4 << 30, 100 << 30), Verdict::Warn, "4 %");
        assert_eq!(verdict(1 << 29, 1 << 30), Verdict::Warn, "half of a gibibyte");
        assert_eq!(verdict(100 << 20, 1 << 30), Verdict::Fail);
        assert_eq!(verdict(0, 0), Verdict::Fail);
    }
}
