//! Parses the block of `KERN_PROCARGS2`: the count of arguments, the program's path, NULs up to a word's end, the arguments,
//! the environment (xnu `bsd/kern/kern_sysctl.c`, `sysctl_procargsx`). Called by `macos::process` and `macos::diagnose`.

/// Whether the process was given exactly this variable (`NAME=value`); `None` where the block holds no environment.
///
/// The kernel leaves the environment of Apple's restricted programs out while System Integrity Protection is on. The variable may
/// be there, so that is not a no. An argument that looks like the variable does not count.
pub(crate) fn environment_holds(block: &[u8], variable: &str) -> Option<bool> {
    let (count, strings) = strings(block)?;
    let mut environment = strings.split(|&byte| byte == 0).skip(count).filter(|entry| !entry.is_empty()).peekable();
    environment.peek()?;
    Some(environment.any(|entry| entry == variable.as_bytes()))
}

/// The arguments, a NUL after each.
pub(crate) fn arguments(block: &[u8]) -> &[u8] {
    let Some((count, strings)) = strings(block) else { return &[] };
    let mut ends = strings.iter().enumerate().filter(|(_, byte)| **byte == 0).map(|(at, _)| at);
    let end = count.checked_sub(1).map_or(Some(0), |last| ends.nth(last));
    &strings[..end.unwrap_or(strings.len())]
}

/// The count of arguments, and what follows the program's path and its padding.
fn strings(block: &[u8]) -> Option<(usize, &[u8])> {
    let (count, strings) = block.split_first_chunk()?;
    let count = usize::try_from(i32::from_ne_bytes(*count)).ok()?;
    let after_path = &strings[strings.iter().position(|&byte| byte == 0)?..];
    let padding = after_path.iter().take_while(|&&byte| byte == 0).count();
    Some((count, &after_path[padding..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(count: i32, strings: &[u8]) -> Vec<u8> {
        [&count.to_ne_bytes()[..], b"/bin/x\0\0\0", strings].concat()
    }

    #[test]
    fn only_the_environment_counts_and_an_entry_must_match_whole() {
        let block = block(2, b"x\0DOGWATCH_RUN_ID=no\0A=1\0DOGWATCH_RUN_ID=ab\0");
        assert_eq!(environment_holds(&block, "DOGWATCH_RUN_ID=ab"), Some(true));
        assert_eq!(environment_holds(&block, "A=1"), Some(true));
        for absent in ["DOGWATCH_RUN_ID=no", "DOGWATCH_RUN_ID=a", "x", "/bin/x"] {
            assert_eq!(environment_holds(&block, absent), Some(false), "{absent}");
        }
    }

    #[test]
    fn an_environment_that_the_kernel_left_out_is_unknown() {
        for strings in [&b"x\0-y\0"[..], b"x\0-y", b"x\0-y\0\0\0\0"] {
            assert_eq!(environment_holds(&block(2, strings), "A=1"), None);
        }
        assert_eq!(environment_holds(&[], "A=1"), None);
        assert_eq!(environment_holds(&(-1_i32).to_ne_bytes(), "A=1"), None);
    }

    #[test]
    fn the_arguments_end_where_the_environment_begins() {
        for (count, expected) in [(0, ""), (1, "x"), (2, "x\0-y"), (9, "x\0-y\0A=1\0")] {
            assert_eq!(arguments(&block(count, b"x\0-y\0A=1\0")), expected.as_bytes(), "{count}");
        }
    }

    #[test]
    fn no_cut_block_makes_parsing_panic() {
        let block = block(i32::MAX, b"A=1\0");
        for length in 0..block.len() {
            assert_eq!(environment_holds(&block[..length], "A=1"), None);
            assert!(arguments(&block[..length]).len() <= length);
        }
    }
}
