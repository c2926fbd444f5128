//! The fewest faults that still do it: delta debugging over a list.

/// Lives that shrinking may cost.
const TRIES_MAX: usize = 150;

/// A shortest list that it finds for which `fails` still holds; it holds for the whole one. The same list and the
/// same answers give the same result.
pub fn shrink<T: Clone, E>(
    whole: Vec<T>,
    mut fails: impl FnMut(&[T]) -> Result<bool, E>,
) -> Result<Vec<T>, E> {
    if whole.is_empty() || fails(&[])? {
        return Ok(Vec::new());
    }
    let (mut list, mut parts, mut tries) = (whole, 2, 0);
    while list.len() > 1 && tries < TRIES_MAX {
        let size = list.len().div_ceil(parts);
        let mut shorter = None;
        for from in (0..list.len()).step_by(size) {
            let part = list[from..list.len().min(from + size)].to_vec();
            let rest = [&list[..from], &list[list.len().min(from + size)..]].concat();
            // The part alone is worth a try only while it is the smaller one of the two.
            let candidates = if parts == 2 { vec![part] } else { vec![part, rest] };
            for candidate in candidates {
                tries += 1;
                if fails(&candidate)? {
                    shorter = Some(candidate);
                    break;
                }
            }
            if shorter.is_some() || tries >= TRIES_MAX {
                break;
            }
        }
        match shorter {
            Some(shorter) => {
                parts = if shorter.len() < size + 1 { 2 } else { (parts - 1).max(2) };
                list = shorter;
            }
            None if size == 1 => break,
            None => parts = (parts * 2).min(list.len()),
        }
    }
    Ok(list)
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::shrink;

    fn of(whole: u32, needed: &[u32]) -> Vec<u32> {
        let fails = |list: &[u32]| Ok::<_, Infallible>(needed.iter().all(|one| list.contains(one)));
        let Ok(list) = shrink((0..whole).collect(), fails);
        list
    }

    #[test]
    fn what_is_not_needed_goes() {
        for needed in [&[][..], &[7], &[0, 99], &[3, 50, 51], &[10, 20, 30, 40]] {
            assert_eq!(of(100, needed), needed);
        }
        assert_eq!(of(1, &[0]), [0]);
    }
}
