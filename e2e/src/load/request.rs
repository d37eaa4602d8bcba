//! PURE: what is asked: random requests over numbered keys, written straight into the output buffer.

/// One kind of request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// `get` of so many keys at once
    Get(usize),
    /// `set`
    Set,
    /// `append` of one byte
    Append,
    /// `incr`
    Incr,
}

/// What a load consists of.
#[derive(Clone, Debug)]
pub struct Workload {
    /// connections
    pub connections: usize,
    /// requests under way on each, in a closed loop
    pub pipeline: usize,
    /// kinds of requests, taken in turn
    pub mix: Vec<Operation>,
    /// first letters of the keys, so that loads do not meet; 1 to 100 bytes
    pub prefix: &'static str,
    /// number of different keys
    pub keys: u32,
    /// length of values
    pub value: usize,
    /// keys in order instead of at random, for filling
    pub in_order: bool,
}

impl Workload {
    /// One set to ten gets, 100-byte values, 100,000 keys.
    pub fn usual(connections: usize, pipeline: usize) -> Self {
        let mut mix = vec![Operation::Get(1); 10];
        mix.push(Operation::Set);
        Workload { connections, pipeline, mix, prefix: "u", keys: 100_000, value: 100, in_order: false }
    }

    /// The same keys, each set once, in order.
    pub fn filling(&self) -> Self {
        Workload {
            connections: 4,
            pipeline: if self.value > 10_000 { 4 } else { 128 },
            mix: vec![Operation::Set],
            in_order: true,
            ..self.clone()
        }
    }
}

/// Makes requests.
#[derive(Debug)]
pub(super) struct Generator {
    mix: Vec<Operation>,
    next: usize,
    keys: u64,
    random: u64,
    in_order: Option<u64>,
    prefix: &'static str,
    /// what follows the key in a set, value and line ends included
    set_tail: Vec<u8>,
}

impl Generator {
    pub(super) fn new(workload: &Workload) -> Self {
        // Counters begin with a large number so that their length stays the same.
        let counter = workload.mix.contains(&Operation::Incr) || workload.prefix == "incr";
        let value = if counter { b"1000000000".to_vec() } else { vec![b'x'; workload.value] };
        let set_tail = [format!(" 0 0 {}\r\n", value.len()).as_bytes(), &value, b"\r\n"].concat();
        Generator {
            mix: workload.mix.clone(),
            next: 0,
            keys: u64::from(workload.keys.max(1)),
            random: 0x9E37_79B9_7F4A_7C15,
            in_order: workload.in_order.then_some(0),
            prefix: workload.prefix,
            set_tail,
        }
    }

    /// Appends the next request.
    pub(super) fn request(&mut self, out: &mut Vec<u8>) {
        let operation = self.mix.get(self.next).copied().unwrap_or(Operation::Set);
        self.next = if self.next + 1 < self.mix.len() { self.next + 1 } else { 0 };
        match operation {
            Operation::Get(count) => {
                out.extend_from_slice(b"get");
                (0..count).for_each(|_| self.key(out));
                out.extend_from_slice(b"\r\n");
            }
            Operation::Set => {
                out.extend_from_slice(b"set");
                self.key(out);
                out.extend_from_slice(&self.set_tail);
            }
            Operation::Append => {
                out.extend_from_slice(b"append");
                self.key(out);
                out.extend_from_slice(b" 0 0 1\r\ny\r\n");
            }
            Operation::Incr => {
                out.extend_from_slice(b"incr");
                self.key(out);
                out.extend_from_slice(b" 1\r\n");
            }
        }
    }

    /// A space and a key: the prefix and eight digits.
    fn key(&mut self, out: &mut Vec<u8>) {
        let number = match &mut self.in_order {
            Some(next) => {
                *next += 1;
                (*next - 1) % self.keys
            }
            None => {
                // xorshift64*, scaled to the range without a division
                self.random ^= self.random >> 12;
                self.random ^= self.random << 25;
                self.random ^= self.random >> 27;
                let high = self.random.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 32;
                (high * self.keys) >> 32
            }
        };
        let mut digits = *b"00000000";
        let mut rest = number;
        for digit in digits.iter_mut().rev() {
            *digit = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
        out.push(b' ');
        out.extend_from_slice(self.prefix.as_bytes());
        out.extend_from_slice(&digits);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_what_memcached_understands() {
        let workload = Workload {
            connections: 1,
            pipeline: 1,
            mix: vec![Operation::Set, Operation::Get(2), Operation::Append, Operation::Incr],
            prefix: "p",
            keys: 3,
            value: 2,
            in_order: true,
        };
        let (mut generator, mut out) = (Generator::new(&workload), Vec::new());
        (0..4).for_each(|_| generator.request(&mut out));
        let expected = "set p00000000 0 0 10\r\n1000000000\r\nget p00000001 p00000002\r\n\
            append p00000000 0 0 1\r\ny\r\nincr p00000001 1\r\n";
        assert_eq!(String::from_utf8_lossy(&out), expected);
    }

    #[test]
    fn random_keys_cover_the_range_and_stay_in_it() {
        let workload = Workload { keys: 10, ..Workload::usual(1, 1) };
        let (mut generator, mut seen) = (Generator::new(&workload), std::collections::BTreeSet::new());
        for _ in 0..1000 {
            let mut key = Vec::new();
            generator.key(&mut key);
            seen.insert(key);
        }
        assert_eq!(seen.len(), 10);
        assert_eq!(seen.last().map(Vec::as_slice), Some(b" u00000009".as_slice()));
    }
}
