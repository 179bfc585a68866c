package ringall;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import org.apache.kafka.common.errors.SerializationException;
import org.apache.kafka.common.serialization.Deserializer;

/** What of a canonical event this job needs, and its bytes, which go out again with the verdict behind them. */
final class LegEvent {
    byte[] raw;
    String legId;
    String kind;
    String role;
    String cause = "";
    long atMs;
    int authority;

    /** Null for what is no event: watermarks are not part of this job. */
    static final class Reader implements Deserializer<LegEvent> {
        private static final byte[] CONTROL = "{\"control\":".getBytes(StandardCharsets.UTF_8);
        private static final JsonFactory JSON = new JsonFactory();

        @Override
        public LegEvent deserialize(String topic, byte[] value) {
            if (isControl(value)) {
                return null;
            }
            try (JsonParser json = JSON.createParser(value)) {
                return read(json, value);
            } catch (IOException error) {
                throw new SerializationException(error);
            }
        }

        private static boolean isControl(byte[] value) {
            return value.length > CONTROL.length && java.util.Arrays.mismatch(value, CONTROL) == CONTROL.length;
        }

        private static LegEvent read(JsonParser json, byte[] value) throws IOException {
            LegEvent event = new LegEvent();
            event.raw = value;
            json.nextToken();
            for (String name = json.nextFieldName(); name != null; name = json.nextFieldName()) {
                switch (name) {
                    case "leg_id" -> event.legId = json.nextTextValue();
                    case "kind" -> event.kind = json.nextTextValue();
                    case "role" -> event.role = json.nextTextValue();
                    case "cause" -> event.cause = json.nextTextValue();
                    case "at_ms" -> event.atMs = json.nextLongValue(0);
                    case "authority" -> event.authority = json.nextIntValue(0);
                    default -> {
                        json.nextToken();
                        json.skipChildren();
                    }
                }
            }
            return event;
        }
    }
}
