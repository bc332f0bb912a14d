import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.lang.invoke.MethodHandle;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.MethodType;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.Map;
import org.apache.kafka.common.protocol.ByteBufferAccessor;
import org.apache.kafka.common.protocol.Message;
import org.apache.kafka.common.protocol.MessageUtil;

/**
 * Kafka's own JSON converters, for lines on standard input, parts separated by tabs; a line of output for each:
 *
 * <pre>
 * write NAME VERSION HEX   the JSON with sizes of records, then that with (empty) records
 * read NAME VERSION JSON   the bytes of what the JSON was read as, in hex
 * </pre>
 *
 * What cannot be done is "!" and why; a message that the jar does not have is "?".
 */
public class JsonConverters {
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final Map<String, Converter> CONVERTERS = new HashMap<>();

    private record Converter(MethodHandle create, MethodHandle write, MethodHandle read) {
        static Converter of(String name) throws ReflectiveOperationException {
            Class<?> type = find(name);
            Class<?> converter = Class.forName(type.getName() + "JsonConverter");
            MethodHandles.Lookup lookup = MethodHandles.publicLookup();
            return new Converter(
                lookup.findConstructor(type, MethodType.methodType(void.class)),
                lookup.findStatic(converter, "write", MethodType.methodType(JsonNode.class, type, short.class, boolean.class)),
                lookup.findStatic(converter, "read", MethodType.methodType(type, JsonNode.class, short.class)));
        }
    }

    /** Requests and responses have a suffix in Java; what coordinators keep in their logs stands in jars of their own. */
    private static Class<?> find(String name) throws ClassNotFoundException {
        for (String place : new String[] {
            "org.apache.kafka.common.message." + name + "Data",
            "org.apache.kafka.common.message." + name,
            "org.apache.kafka.coordinator.group.generated." + name,
            "org.apache.kafka.coordinator.transaction.generated." + name,
        }) {
            try {
                return Class.forName(place);
            } catch (ClassNotFoundException e) {
                // Perhaps at the next place.
            }
        }
        throw new ClassNotFoundException(name);
    }

    private static String answer(String[] parts) {
        Converter converter;
        try {
            converter = CONVERTERS.get(parts[1]);
            if (converter == null) {
                converter = Converter.of(parts[1]);
                CONVERTERS.put(parts[1], converter);
            }
        } catch (ReflectiveOperationException e) {
            return "?";
        }
        short version = Short.parseShort(parts[2]);
        try {
            if (parts[0].equals("write")) {
                ByteBuffer bytes = ByteBuffer.wrap(HexFormat.of().parseHex(parts.length > 3 ? parts[3] : ""));
                Message message = (Message) converter.create().invoke();
                message.read(new ByteBufferAccessor(bytes), version);
                if (bytes.hasRemaining()) {
                    return "!" + bytes.remaining() + " bytes are left over";
                }
                JsonNode sizes = (JsonNode) converter.write().invoke(message, version, false);
                JsonNode records = (JsonNode) converter.write().invoke(message, version, true);
                return JSON.writeValueAsString(sizes) + "\t" + JSON.writeValueAsString(records);
            }
            Message message = (Message) converter.read().invoke(JSON.readTree(parts[3]), version);
            ByteBuffer bytes = MessageUtil.toByteBufferAccessor(message, version).buffer();
            byte[] array = new byte[bytes.remaining()];
            bytes.get(array);
            return HexFormat.of().formatHex(array);
        } catch (Throwable e) {
            return "!" + e.toString().replaceAll("[\\t\\r\\n]", " ");
        }
    }

    public static void main(String[] arguments) throws Exception {
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        PrintStream out = new PrintStream(System.out, false, StandardCharsets.UTF_8);
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            out.print(answer(line.split("\t", -1)));
            out.print('\n');
        }
        out.flush();
    }
}
