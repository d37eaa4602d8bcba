//! Cases in which time goes by: expiry and delayed flushes.

use anyhow::Result;
use e2e::memcached::Suite;

use crate::endpoints::Endpoints;
use crate::script::Case;

/// One case each, in one segment: waiting is what takes the time.
fn expiry() -> Case {
    Case::new("6, 13", "what expires, and what keeps an expiry or loses it")
        .ask("set t6 0 2 1\r\nv\r\nget t6\r\n")
        .ask("set t13 0 2 1\r\nv\r\ngat 0 t13\r\n")
        .ask("set t13b 0 0 1\r\nv\r\ntouch t13b 2\r\nset t13c 0 0 1\r\nv\r\ngats 2 t13c\r\n")
        .ask("set t13d 0 2 1\r\n1\r\nincr t13d 1\r\nset t13e 0 2 1\r\n1\r\nappend t13e 0 0 1\r\n1\r\n")
        .ask("set t13f 0 2 1\r\n1\r\nset t13f 0 0 1\r\n2\r\nadd t13g 0 2 1\r\n1\r\n")
        .poll("get t6 t13b t13c t13d t13e t13g\r\n", "END\r\n")
        .ask("get t13 t13f\r\nadd t6 0 0 1\r\nw\r\nincr t13d 1\r\ngets t6\r\n")
        .shows("VALUE t13 ")
        .one_segment()
}

fn flushes() -> Vec<Case> {
    vec![
        Case::new("12", "a delayed flush also kills what is stored before it")
            .ask("set t12 0 0 1\r\nv\r\nflush_all 2\r\nset t12b 0 0 1\r\nw\r\nget t12 t12b\r\n")
            .poll("get t12 t12b\r\n", "END\r\n")
            // In the second of the deadline memcached also hides what is stored after it.
            .poll("set t12 0 0 1\r\nx\r\nget t12\r\n", "STORED\r\nVALUE t12 0 1\r\nx\r\nEND\r\n")
            .one_segment(),
        Case::new("31", "a second delayed flush replaces the first")
            .ask("set t31 0 0 1\r\nv\r\nflush_all 2\r\nflush_all 1000\r\nset t31b 0 2 1\r\nw\r\n")
            .poll("get t31b\r\n", "END\r\n")
            .ask("get t31\r\n")
            .one_segment(),
    ]
}

#[test]
fn expiry_on_both_versions() -> Result<()> {
    Suite::TESTED.iter().try_for_each(|&suite| Endpoints::start("expiry", suite, &[])?.compare_all(&[expiry()]))
}

#[test]
fn delayed_flushes_on_both_versions() -> Result<()> {
    Suite::TESTED.iter().try_for_each(|&suite| Endpoints::start("flushes", suite, &[])?.compare_all(&flushes()))
}
