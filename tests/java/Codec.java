import java.io.BufferedInputStream;
import java.io.BufferedOutputStream;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.EOFException;
import java.io.FileDescriptor;
import java.io.FileInputStream;
import java.io.FileOutputStream;
import java.io.IOException;
import java.lang.reflect.Constructor;
import java.lang.reflect.Method;
import java.lang.reflect.Modifier;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

import org.apache.kafka.common.protocol.ByteBufferAccessor;
import org.apache.kafka.common.protocol.Message;
import org.apache.kafka.common.protocol.ObjectSerializationCache;

/**
 * Kafka's generated message classes behind a pipe; tests/java/mod.rs is the other end.
 *
 * A question: name (UTF), version (short), flags (byte), a frame (int and bytes), klamm's form of it (the same; a length of -1 for none).
 * Its answer: 0 and why (UTF) if the frame was refused; 1 and why if klamm's form was refused; else 2, the bytes left over behind the
 * frame's value (int), the size foretold (int), the value written again (int and bytes), and what was equal (byte).
 */
public class Codec {
    /** Where Kafka keeps generated classes. */
    static final String[] PACKAGES = {
        "org.apache.kafka.common.message.",
        "org.apache.kafka.coordinator.group.generated.",
        "org.apache.kafka.coordinator.transaction.generated.",
        "org.apache.kafka.coordinator.share.generated.",
        "org.apache.kafka.common.metadata.",
        "org.apache.kafka.raft.generated.",
        "org.apache.kafka.server.log.remote.metadata.storage.generated.",
    };

    /** Drop tagged fields that Kafka does not know, as klamm does. */
    static final int DROP_UNKNOWN = 1;

    /** What klamm wrote, read, equals the value of the frame; what Kafka wrote, read, does. */
    static final int KLAMM_EQUAL = 1, KAFKA_EQUAL = 2;
    /** The same, by their text: a NaN equals nothing. */
    static final int KLAMM_TEXT = 4, KAFKA_TEXT = 8;

    static final Map<String, Constructor<? extends Message>> CLASSES = new HashMap<>();
    static final Map<Class<?>, List<Method>> PARTS = new HashMap<>();

    public static void main(String[] arguments) throws Exception {
        DataInputStream in = new DataInputStream(new BufferedInputStream(new FileInputStream(FileDescriptor.in), 1 << 16));
        DataOutputStream out = new DataOutputStream(new BufferedOutputStream(new FileOutputStream(FileDescriptor.out), 1 << 16));
        while (true) {
            String name;
            try {
                if (in.available() == 0) {
                    out.flush();
                }
                name = in.readUTF();
            } catch (EOFException end) {
                out.flush();
                return;
            }
            Constructor<? extends Message> constructor = find(name);
            short version = in.readShort();
            int flags = in.readByte();
            byte[] frame = bytes(in);
            byte[] klamm = bytes(in);
            answer(constructor, version, flags, frame, klamm, out);
        }
    }

    static void answer(Constructor<? extends Message> constructor, short version, int flags, byte[] frame, byte[] klamm,
                       DataOutputStream out) throws Exception {
        Message message;
        int left;
        byte[] kafka;
        int size;
        try {
            ByteBufferAccessor readable = new ByteBufferAccessor(ByteBuffer.wrap(frame));
            message = read(constructor, version, readable);
            left = readable.remaining();
            if ((flags & DROP_UNKNOWN) != 0) {
                dropUnknown(message);
            }
            ObjectSerializationCache cache = new ObjectSerializationCache();
            size = message.size(cache, version);
            ByteBuffer buffer = ByteBuffer.allocate(size + 64);
            message.write(new ByteBufferAccessor(buffer), cache, version);
            kafka = Arrays.copyOf(buffer.array(), buffer.position());
        } catch (RuntimeException refused) {
            out.writeByte(0);
            out.writeUTF(cut(refused.toString()));
            return;
        }
        int equal = 0;
        try {
            Message again = read(constructor, version, new ByteBufferAccessor(ByteBuffer.wrap(kafka)));
            equal |= same(message, again, KAFKA_EQUAL, KAFKA_TEXT);
            if (klamm != null) {
                ByteBufferAccessor readable = new ByteBufferAccessor(ByteBuffer.wrap(klamm));
                again = read(constructor, version, readable);
                if (readable.remaining() > 0) {
                    throw new RuntimeException(readable.remaining() + " bytes are left over");
                }
                equal |= same(message, again, KLAMM_EQUAL, KLAMM_TEXT);
            }
        } catch (RuntimeException refused) {
            out.writeByte(1);
            out.writeUTF(cut(refused.toString()));
            return;
        }
        out.writeByte(2);
        out.writeInt(left);
        out.writeInt(size);
        out.writeInt(kafka.length);
        out.write(kafka);
        out.writeByte(equal);
    }

    /** Text takes long to make, and says nothing more of what is equal already. */
    static int same(Message message, Message again, int equal, int text) {
        if (message.equals(again) && again.equals(message) && message.hashCode() == again.hashCode()) {
            return equal | text;
        }
        return message.toString().equals(again.toString()) ? text : 0;
    }

    static Message read(Constructor<? extends Message> constructor, short version, ByteBufferAccessor readable) throws Exception {
        Message message = constructor.newInstance();
        message.read(readable, version);
        return message;
    }

    /** The class of a schema: requests, responses and headers have "Data" behind their names. */
    static Constructor<? extends Message> find(String name) throws Exception {
        Constructor<? extends Message> known = CLASSES.get(name);
        if (known != null) {
            return known;
        }
        for (String folder : PACKAGES) {
            for (String suffix : new String[] {"Data", ""}) {
                try {
                    known = Class.forName(folder + name + suffix).asSubclass(Message.class).getConstructor();
                    CLASSES.put(name, known);
                    return known;
                } catch (ClassNotFoundException next) {
                    // The table is short, and each name is looked up once.
                }
            }
        }
        throw new IOException("no class of the jars is " + name + " or " + name + "Data in any of " + Arrays.toString(PACKAGES));
    }

    /** Forgets unknown tagged fields of a message and of all that it contains. */
    static void dropUnknown(Object value) throws Exception {
        if (value instanceof Collection<?> items) {
            for (Object item : items) {
                if (!(item instanceof Message) && !(item instanceof Collection)) {
                    return;
                }
                dropUnknown(item);
            }
        } else if (value instanceof Message message) {
            message.unknownTaggedFields().clear();
            for (Method part : parts(message.getClass())) {
                dropUnknown(part.invoke(message));
            }
        }
    }

    /** The getters of a class that give structs or collections. */
    static List<Method> parts(Class<?> type) {
        return PARTS.computeIfAbsent(type, key -> {
            List<Method> parts = new ArrayList<>();
            for (Method method : key.getDeclaredMethods()) {
                Class<?> part = method.getReturnType();
                boolean getter = Modifier.isPublic(method.getModifiers()) && !Modifier.isStatic(method.getModifiers())
                    && method.getParameterCount() == 0 && !method.isSynthetic()
                    && !method.getName().equals("duplicate") && !method.getName().equals("unknownTaggedFields");
                if (getter && (Message.class.isAssignableFrom(part) || Collection.class.isAssignableFrom(part))) {
                    parts.add(method);
                }
            }
            return parts;
        });
    }

    static byte[] bytes(DataInputStream in) throws IOException {
        int length = in.readInt();
        if (length < 0) {
            return null;
        }
        byte[] bytes = new byte[length];
        in.readFully(bytes);
        return bytes;
    }

    static String cut(String text) {
        return text.substring(0, Math.min(text.length(), 300));
    }
}
