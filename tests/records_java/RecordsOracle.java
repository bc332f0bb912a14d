// Writes and reads record batches with Kafka's own classes, for `tests/records_java`: a case per line of the file that is named, and
// a line of answer each on standard output. How a line is made stands in `oracle.rs`.
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.OptionalLong;
import org.apache.kafka.common.compress.Compression;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.message.KRaftVersionRecord;
import org.apache.kafka.common.message.LeaderChangeMessage;
import org.apache.kafka.common.message.SnapshotFooterRecord;
import org.apache.kafka.common.message.SnapshotHeaderRecord;
import org.apache.kafka.common.message.VotersRecord;
import org.apache.kafka.common.record.TimestampType;
import org.apache.kafka.common.record.internal.ControlRecordType;
import org.apache.kafka.common.record.internal.DefaultRecordBatch;
import org.apache.kafka.common.record.internal.EndTransactionMarker;
import org.apache.kafka.common.record.internal.MemoryRecords;
import org.apache.kafka.common.record.internal.MemoryRecordsBuilder;
import org.apache.kafka.common.record.internal.MutableRecordBatch;
import org.apache.kafka.common.record.internal.Record;
import org.apache.kafka.common.utils.internals.ByteBufferOutputStream;

public class RecordsOracle {
    static final HexFormat HEX = HexFormat.of();

    public static void main(String[] args) throws Exception {
        StringBuilder out = new StringBuilder();
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in));
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            String[] words = line.split(" ");
            try {
                if (words[0].equals("write")) {
                    byte[] bytes = write(words);
                    out.append(HEX.formatHex(bytes)).append('|').append(describe(bytes));
                } else {
                    out.append(describe(HEX.parseHex(words[1])));
                }
            } catch (Exception error) {
                out.append("failed: ").append(error.toString().replace('\n', ' '));
            }
            out.append('\n');
        }
        System.out.print(out);
    }

    static byte[] write(String[] words) {
        byte magic = Byte.parseByte(words[1]);
        Compression codec = compression(words[2]);
        TimestampType type = magic == 0 ? TimestampType.NO_TIMESTAMP_TYPE
            : words[3].equals("append") ? TimestampType.LOG_APPEND_TIME : TimestampType.CREATE_TIME;
        long baseOffset = Long.parseLong(words[4]);
        long appendTime = Long.parseLong(words[5]);
        long producerId = Long.parseLong(words[6]);
        short epoch = Short.parseShort(words[7]);
        int sequence = Integer.parseInt(words[8]);
        boolean transactional = words[9].equals("true");
        boolean control = words[10].equals("true");
        int leaderEpoch = Integer.parseInt(words[11]);
        long horizon = words[12].equals("_") ? -1 : Long.parseLong(words[12]);
        if (words.length == 14) {
            ByteBuffer buffer = ByteBuffer.allocate(DefaultRecordBatch.RECORD_BATCH_OVERHEAD);
            DefaultRecordBatch.writeEmptyHeader(buffer, magic, producerId, epoch, sequence, baseOffset, Long.parseLong(words[13]),
                leaderEpoch, type, appendTime, transactional, control);
            return buffer.array();
        }
        MemoryRecordsBuilder builder = new MemoryRecordsBuilder(new ByteBufferOutputStream(1024), magic, codec, type, baseOffset,
            appendTime, producerId, epoch, sequence, transactional, control, leaderEpoch, Integer.MAX_VALUE, horizon);
        for (int i = 14; i < words.length; i++) {
            String[] parts = words[i].split(",", -1);
            long timestamp = Long.parseLong(parts[1]);
            if (control) {
                control(builder, Integer.parseInt(parts[0]), timestamp, Integer.parseInt(parts[2]));
                continue;
            }
            List<Header> headers = new ArrayList<>();
            for (int h = 4; h < parts.length; h++) {
                String[] pair = parts[h].split("=", -1);
                headers.add(new RecordHeader(new String(HEX.parseHex(pair[0]), java.nio.charset.StandardCharsets.UTF_8), bytes(pair[1])));
            }
            builder.appendWithOffset(Long.parseLong(parts[0]), timestamp, bytes(parts[2]), bytes(parts[3]), headers.toArray(new Header[0]));
        }
        if (!words[13].equals("_")) {
            builder.overrideLastOffset(Long.parseLong(words[13]));
        }
        ByteBuffer buffer = builder.build().buffer();
        byte[] bytes = new byte[buffer.remaining()];
        buffer.get(bytes);
        return bytes;
    }

    static void control(MemoryRecordsBuilder builder, int type, long timestamp, int number) {
        switch (type) {
            case 0 -> builder.appendEndTxnMarker(timestamp, new EndTransactionMarker(ControlRecordType.ABORT, number));
            case 1 -> builder.appendEndTxnMarker(timestamp, new EndTransactionMarker(ControlRecordType.COMMIT, number));
            case 2 -> builder.appendLeaderChangeMessage(timestamp, new LeaderChangeMessage().setLeaderId(number));
            case 3 -> builder.appendSnapshotHeaderMessage(timestamp, new SnapshotHeaderRecord().setLastContainedLogTimestamp(number));
            case 4 -> builder.appendSnapshotFooterMessage(timestamp, new SnapshotFooterRecord());
            case 5 -> builder.appendKRaftVersionMessage(timestamp, new KRaftVersionRecord().setKRaftVersion((short) 1));
            default -> builder.appendVotersMessage(timestamp, new VotersRecord());
        }
    }

    static String describe(byte[] bytes) {
        MemoryRecords records = MemoryRecords.readableRecords(ByteBuffer.wrap(bytes));
        StringBuilder out = new StringBuilder();
        for (MutableRecordBatch batch : records.batches()) {
            batch.ensureValid();
            boolean current = batch.magic() == 2;
            OptionalLong horizon = batch.deleteHorizonMs();
            out.append("batch ").append(batch.magic()).append(' ').append(batch.compressionType().name)
                .append(batch.timestampType() == TimestampType.LOG_APPEND_TIME ? " append " : " create ")
                .append(batch.baseOffset()).append(' ').append(batch.lastOffset()).append(' ').append(batch.nextOffset()).append(' ')
                .append(batch.maxTimestamp()).append(' ').append(current ? ((DefaultRecordBatch) batch).baseTimestamp() : -1).append(' ')
                .append(batch.producerId()).append(' ').append(batch.producerEpoch()).append(' ')
                .append(batch.baseSequence()).append(' ').append(batch.lastSequence()).append(' ')
                .append(batch.isTransactional()).append(' ').append(batch.isControlBatch()).append(' ')
                .append(batch.partitionLeaderEpoch()).append(' ').append(horizon.isPresent() ? horizon.getAsLong() : "_").append(' ')
                .append(current ? batch.countOrNull() : -1).append(' ').append(batch.sizeInBytes());
            for (Record record : batch) {
                record.ensureValid();
                out.append(" / ").append(record.offset()).append(',').append(record.timestamp()).append(',')
                    .append(hex(record.key())).append(',').append(hex(record.value()));
                for (Header header : record.headers()) {
                    byte[] value = header.value();
                    out.append(',').append(HEX.formatHex(header.key().getBytes(java.nio.charset.StandardCharsets.UTF_8))).append('=')
                        .append(value == null ? "_" : HEX.formatHex(value));
                }
                if (batch.isControlBatch()) {
                    short type = ControlRecordType.parseTypeId(record.key());
                    out.append(" control ").append(type);
                    if (type < 2) {
                        out.append(' ').append(EndTransactionMarker.deserialize(record).coordinatorEpoch());
                    }
                }
            }
            out.append(" ; ");
        }
        return out.toString();
    }

    static Compression compression(String codec) {
        return switch (codec) {
            case "gzip" -> Compression.gzip().build();
            case "snappy" -> Compression.snappy().build();
            case "lz4" -> Compression.lz4().build();
            case "zstd" -> Compression.zstd().build();
            default -> Compression.NONE;
        };
    }

    static byte[] bytes(String hex) {
        return hex.equals("_") ? null : HEX.parseHex(hex);
    }

    static String hex(ByteBuffer bytes) {
        if (bytes == null) return "_";
        byte[] copy = new byte[bytes.remaining()];
        bytes.duplicate().get(copy);
        return HEX.formatHex(copy);
    }
}
