//! What is written, read back.

use super::*;

type Owned = (i64, i64, Option<Vec<u8>>, Option<Vec<u8>>, Vec<(Vec<u8>, Option<Vec<u8>>)>);

fn read(batch: &Batch) -> Vec<Owned> {
    let records = batch.records(Limits::default()).expect("records");
    let owned = records.iter().map(|record| {
        let record = record.expect("record");
        let headers = record.headers.map(|header| header.map(|header| (header.key.to_vec(), header.value.map(<[u8]>::to_vec))));
        let headers = headers.collect::<Result<_, _>>().expect("headers");
        (record.offset, record.timestamp, record.key.map(<[u8]>::to_vec), record.value.map(<[u8]>::to_vec), headers)
    });
    owned.collect()
}

#[test]
fn a_batch_comes_back_as_it_was_written_with_every_codec() {
    for compression in Compression::ALL {
        let mut builder = BatchBuilder::new(16);
        let headers: [(&[u8], Option<&[u8]>); 3] = [(b"b", Some(b"1")), (b"a", None), (b"b", Some(b""))];
        for index in 0..300_i64 {
            let value = vec![index as u8; index as usize];
            let key = (index % 3 != 0).then_some(b"key".as_slice());
            let at = builder.append(
                1_000 + index,
                key,
                (index % 5 != 0).then_some(&value),
                headers[..index as usize % 4].iter().copied(),
            );
            assert_eq!(at, Ok(index as usize));
        }
        let mut closed = builder.close(compression).expect("closed");
        let bytes = closed.stamp(7, 3, 11, true);
        let batch = Batch::new(bytes).expect("batch");
        assert_eq!(batch.compression(), Ok(compression));
        assert_eq!(
            (batch.producer_id(), batch.producer_epoch(), batch.base_sequence(), batch.is_transactional()),
            (7, 3, 11, true)
        );
        let records = read(&batch);
        assert_eq!(records.len(), 300);
        for (index, (offset, timestamp, key, value, got)) in records.into_iter().enumerate() {
            assert_eq!((offset, timestamp), (index as i64, 1_000 + index as i64));
            assert_eq!(key, (index % 3 != 0).then(|| b"key".to_vec()));
            assert_eq!(value, (index % 5 != 0).then(|| vec![index as u8; index]));
            let want: Vec<_> =
                headers[..index % 4].iter().map(|(key, value)| (key.to_vec(), value.map(<[u8]>::to_vec))).collect();
            assert_eq!(got, want);
        }
    }
}
