package oath_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"sekisho/authn/totp/oath"
	"sekisho/policy/secret"
)

const (
	figure6Key = "12345678901234567890123456789012" // RFC 6030 section 6.1
	figure7Key = "qwerty"                           // section 6.2
)

var (
	aes192Key = "000102030405060708090a0b0c0d0e0f1011121314151617"
	aes256Key = aes192Key + "18191a1b1c1d1e1f"
	asTOTP    = [2]string{"pskc:hotp", "pskc:totp"}
)

func read(t testing.TB, name string, changes ...[2]string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return changed(t, string(data), changes...)
}

// changed replaces what must be there.
func changed(t testing.TB, text string, changes ...[2]string) []byte {
	t.Helper()
	for _, c := range changes {
		if !strings.Contains(text, c[0]) {
			t.Fatalf("there is no %s to change", c[0])
		}
		text = strings.ReplaceAll(text, c[0], c[1])
	}
	return []byte(text)
}

func key(text string) secret.Text { return secret.NewText([]byte(text)) }

// plain is a container in clear, of one token.
const plain = `<?xml version="1.0" encoding="UTF-8"?>
<KeyContainer Version="1.0" xmlns="urn:ietf:params:xml:ns:keyprov:pskc">
 <KeyPackage>
  <DeviceInfo>
   <Manufacturer>製造社</Manufacturer>
   <SerialNo>a-1</SerialNo>
  </DeviceInfo>
  <Key Id="1" Algorithm="urn:ietf:params:xml:ns:keyprov:pskc:totp">
   <AlgorithmParameters><Suite>HMAC-SHA256</Suite><ResponseFormat Length="8" Encoding="DECIMAL"/></AlgorithmParameters>
   <Data>
    <Secret><PlainValue>
      MTIzNDU2Nzg5MDEy
      MzQ1Njc4OTA=
    </PlainValue></Secret>
    <Time><PlainValue>0</PlainValue></Time>
    <TimeInterval><PlainValue>60</PlainValue></TimeInterval>
    <TimeDrift><PlainValue>4</PlainValue></TimeDrift>
   </Data>
   <Policy><KeyUsage>OTP</KeyUsage></Policy>
  </Key>
 </KeyPackage>
</KeyContainer>
`

func TestParsePSKC(t *testing.T) {
	long := []byte("1234567890123456789012345678901212345678901234567890123456789012")
	want := oath.Seed{Serial: "A-1", Maker: "製造社", Algorithm: "SHA256", Digits: 8, Period: time.Minute, Key: secret.NewText(seed)}
	figure := oath.Seed{Serial: "987654321", Maker: "Manufacturer", Algorithm: "SHA1", Digits: 8, Period: 30 * time.Second, Key: secret.NewText(seed)}
	acme := figure
	acme.Maker = "TokenVendorAcme"
	own := func(serial, algorithm string, digits int, period time.Duration, key []byte) oath.Seed {
		return oath.Seed{Serial: serial, Maker: "Own Maker", Algorithm: algorithm, Digits: digits, Period: period, Key: secret.NewText(key)}
	}
	simple := want
	simple.Algorithm, simple.Period = "SHA1", 30*time.Second
	bounded := want
	bounded.NotBefore, bounded.NotAfter = time.Date(2026, 4, 1, 0, 0, 0, 0, time.UTC), time.Date(2031, 3, 31, 14, 59, 59, 0, time.UTC)
	for _, tt := range []struct {
		name string
		file []byte
		key  string
		want oath.Seed
	}{
		{"in clear", []byte(plain), "", want},
		{"a byte order mark", []byte("\ufeff" + plain), "", want},
		{"a comment inside a value", changed(t, plain, [2]string{"<SerialNo>a-1", "<SerialNo>a<!-- no -->-1"}), "", want},
		{"defaults", changed(t, plain, [2]string{"<Suite>HMAC-SHA256</Suite>", ""}, [2]string{"<TimeInterval><PlainValue>60</PlainValue></TimeInterval>", ""}), "", simple},
		{"no policy", changed(t, plain, [2]string{"<Policy><KeyUsage>OTP</KeyUsage></Policy>", ""}), "", want},
		{"a PIN of the device", changed(t, plain, [2]string{"</KeyUsage>", `</KeyUsage><PINPolicy PINUsageMode="Local" MinLength="4"/>`}), "", want},
		{"several usages", changed(t, plain, [2]string{"<KeyUsage>", "<KeyUsage>CR</KeyUsage><KeyUsage>"}), "", want},
		{"dates of key and device", changed(t, plain,
			[2]string{"</KeyUsage>", "</KeyUsage><StartDate>2026-04-01T00:00:00Z</StartDate><ExpiryDate>2036-03-31T00:00:00Z</ExpiryDate>"},
			[2]string{"</SerialNo>", "</SerialNo><StartDate>2026-01-01T00:00:00Z</StartDate><ExpiryDate>2031-03-31T23:59:59+09:00</ExpiryDate>"}), "", bounded},

		{"RFC 6030 figure 6", read(t, "rfc6030-figure6.xml", asTOTP), figure6Key, figure},
		{"figure 6, the key in base64", read(t, "rfc6030-figure6.xml", asTOTP), "EjRWeJASNFZ4kBI0VniQEg==", figure},
		{"figure 6, the key in groups", read(t, "rfc6030-figure6.xml", asTOTP), "12345678 90123456 78901234 56789012\n", figure},
		{"RFC 6030 figure 7", read(t, "rfc6030-figure7.xml", asTOTP), figure7Key, acme},
		{"AES-192, HMAC-SHA1", read(t, "aes192.xml"), aes192Key, own("OWN-0002", "SHA1", 6, 30*time.Second, seed)},
		// 32 hexadecimal digits, but base64: AES-192 takes 24 bytes.
		{"AES-192, the key in base64", read(t, "aes192.xml"), "AAECAwQFBgcICQoLDA0ODxAREhMUFRYX", own("OWN-0002", "SHA1", 6, 30*time.Second, seed)},
		{"AES-256, HMAC-SHA256", read(t, "aes256.xml"), aes256Key, own("OWN-0001", "SHA256", 8, time.Minute, long[:32])},
		{"a passphrase, AES-256", read(t, "passphrase.xml"), "合言葉は山", own("OWN-0003", "SHA512", 8, 30*time.Second, long)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := oath.ParsePSKC(tt.file, key(tt.key))
			if err != nil {
				t.Fatal(err)
			}
			same(t, got, []oath.Seed{tt.want})
		})
	}
}

func TestParsePSKCRefuses(t *testing.T) {
	const open = "<KeyPackage>"
	policy := func(inside string) []byte {
		return changed(t, plain, [2]string{"<KeyUsage>OTP</KeyUsage>", inside})
	}
	entities := "<!DOCTYPE x [<!ENTITY a \"aaaaaaaaaa\"><!ENTITY b \"&a;&a;&a;\">]>"
	another := string(changed(t, plain[strings.Index(plain, open):strings.Index(plain, "</KeyContainer>")], [2]string{"a-1", "A-1"}))
	for _, tt := range []struct {
		name string
		file []byte
		key  string
		want []string
	}{
		{"nothing", nil, "", []string{"1 file syntax"}},
		{"no XML", []byte("serial,seed\n"), "", []string{"1 file syntax"}},
		{"not closed", []byte(plain[:len(plain)-20]), "", []string{"21 file syntax"}},
		{"not UTF-8", changed(t, plain, [2]string{"製造社", "\x93\x64"}), "", []string{"5 file syntax"}},
		{"another encoding", changed(t, plain, [2]string{"UTF-8", "Shift_JIS"}), "", []string{"1 file syntax"}},
		{"a document type", changed(t, plain, [2]string{"<KeyContainer", entities + "<KeyContainer"}), "", []string{"2 file dtd"}},
		{"an entity", changed(t, plain, [2]string{"製造社", "&b;"}), "", []string{"5 file syntax"}},
		{"an instruction", changed(t, plain, [2]string{open, "<?php ?>" + open}), "", []string{"3 file syntax"}},
		{"a second root", []byte(plain + "<KeyContainer/>"), "", []string{"23 file syntax"}},
		{"text behind the root", []byte(plain + "x"), "", []string{"22 file syntax"}},
		{"an attribute twice", changed(t, plain, [2]string{`Length="8"`, `Length="8" Length="6"`}), "", []string{"9 file syntax"}},
		{"text beside elements", changed(t, plain, [2]string{"<Secret>", "<Secret>x"}), "", []string{"11 file syntax"}},
		{"too deep", []byte(strings.Repeat("<a>", 33) + strings.Repeat("</a>", 33)), "", []string{"1 file too_large"}},
		{"too many", []byte("<a>" + strings.Repeat("<b/>", 100_000) + "</a>"), "", []string{"1 file too_large"}},
		{"too many attributes", attributes(33), "", []string{"1 file too_large"}},
		{"too large", bytes.Repeat([]byte(" "), oath.MaxFile+1), "", []string{"0 file too_large"}},

		{"another root", changed(t, plain, [2]string{"KeyContainer", "Keys"}), "", []string{"2 file format"}},
		{"another namespace", changed(t, plain, [2]string{`keyprov:pskc">`, `keyprov:pskc:1.0">`}), "", []string{"2 file format"}},
		{"another version", changed(t, plain, [2]string{`"1.0" xmlns`, `"2.0" xmlns`}), "", []string{"2 file format"}},
		{"no tokens", []byte(plain[:strings.Index(plain, open)] + "</KeyContainer>"), "", []string{"0 file empty"}},

		{"counter-based", changed(t, plain, [2]string{"pskc:totp", "pskc:hotp"}), "", []string{"8 Algorithm hotp"}},
		{"RFC 6030 figure 6 as it is", read(t, "rfc6030-figure6.xml"), figure6Key, []string{"27 Algorithm hotp"}},
		{"RFC 6030 figure 7 as it is", read(t, "rfc6030-figure7.xml"), figure7Key, []string{"43 Algorithm hotp"}},
		{"a PIN", changed(t, plain, [2]string{"pskc:totp", "pskc:pin"}), "", []string{"8 Algorithm unsupported"}},
		{"the profile of a draft", changed(t, plain, [2]string{"pskc:totp", "pskc#totp"}), "", []string{"8 Algorithm unsupported"}},

		{"no key", changed(t, plain, [2]string{"Key Id", "Other Id"}, [2]string{"</Key>", "</Other>"}), "", []string{"3 seed missing"}},
		{"two keys", changed(t, plain, [2]string{"</Key>", "</Key><Key/>"}), "", []string{"20 Key duplicate"}},
		{"no device", changed(t, plain, [2]string{"DeviceInfo", "Other"}), "", []string{"3 serial missing"}},
		{"a serial of two", changed(t, plain, [2]string{"</SerialNo>", "</SerialNo><SerialNo>a-2</SerialNo>"}), "", []string{"6 SerialNo duplicate"}},
		{"a serial inside an element", changed(t, plain, [2]string{"<SerialNo>a-1", "<SerialNo><b>a-1</b>"}), "", []string{"3 serial missing"}},
		{"a serial, and a seed, twice", changed(t, plain, [2]string{"</KeyContainer>", another + "</KeyContainer>"}), "", []string{"22 serial duplicate", "22 seed duplicate"}},
		{"the suite", changed(t, plain, [2]string{"HMAC-SHA256", "HMAC-MD5"}), "", []string{"8 algorithm invalid"}},
		{"7 digits", changed(t, plain, [2]string{`"8"`, `"7"`}), "", []string{"9 digits invalid"}},
		{"no response format", changed(t, plain, [2]string{`<ResponseFormat Length="8" Encoding="DECIMAL"/>`, ""}), "", []string{"8 digits missing"}},
		{"hexadecimal codes", changed(t, plain, [2]string{"DECIMAL", "HEXADECIMAL"}), "", []string{"9 digits unsupported"}},
		{"a check digit", changed(t, plain, [2]string{`"DECIMAL"`, `"DECIMAL" CheckDigits="true"`}), "", []string{"9 digits unsupported"}},
		{"a challenge", changed(t, plain, [2]string{"<ResponseFormat", "<ChallengeFormat/><ResponseFormat"}), "", []string{"9 digits unsupported"}},
		{"45 seconds", changed(t, plain, [2]string{">60<", ">45<"}), "", []string{"16 period invalid"}},
		{"two intervals", changed(t, plain, [2]string{"<TimeInterval>", "<TimeInterval><PlainValue>30</PlainValue>"}), "", []string{"16 PlainValue duplicate", "16 period sealed"}},
		{"no secret", changed(t, plain, [2]string{"Secret>", "Other>"}), "", []string{"8 seed missing"}},
		{"no base64", changed(t, plain, [2]string{"MTIz", "MTI*"}), "", []string{"11 seed base64"}},
		{"left-over bits", changed(t, plain, [2]string{"OTA=", "OTB="}), "", []string{"11 seed base64"}},
		{"a short seed", changed(t, plain, [2]string{"MTIzNDU2Nzg5MDEy", ""}), "", []string{"11 seed length"}},
		{"a MAC without encryption", changed(t, plain, [2]string{"</PlainValue></Secret>", "</PlainValue><ValueMAC>AAAA</ValueMAC></Secret>"}), "", []string{"11 seed sealed"}},

		{"another usage", policy("<KeyUsage>Encrypt</KeyUsage>"), "", []string{"19 Policy usage"}},
		{"a PIN before the code", policy(`<PINPolicy PINUsageMode="Prepend"/>`), "", []string{"19 Policy unsupported"}},
		{"a PIN somewhere", policy(`<PINPolicy MinLength="4"/>`), "", []string{"19 Policy unsupported"}},
		{"a number of uses", policy("<NumberOfTransactions>4</NumberOfTransactions>"), "", []string{"19 Policy unsupported"}},
		{"a policy unheard of", policy(`<KeyUsage xmlns="urn:x">OTP</KeyUsage>`), "", []string{"19 Policy unsupported"}},
		{"a date without a zone", policy("<ExpiryDate>2036-03-31T00:00:00</ExpiryDate>"), "", []string{"19 ExpiryDate invalid"}},
		{"two dates", policy("<ExpiryDate>2036-03-31T00:00:00Z</ExpiryDate><ExpiryDate>2046-03-31T00:00:00Z</ExpiryDate>"), "", []string{"19 ExpiryDate duplicate"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			refused(t, tt.file, tt.key, tt.want)
		})
	}
}

func refused(t *testing.T, file []byte, with string, want []string) {
	t.Helper()
	seeds, err := oath.ParsePSKC(file, key(with))
	if got := faults(t, err); !slices.Equal(got, want) || seeds != nil {
		t.Errorf("%d seeds and faults %q, want %q", len(seeds), got, want)
	}
}

func attributes(n int) []byte {
	var b strings.Builder
	b.WriteString("<a")
	for i := range n {
		fmt.Fprintf(&b, ` b%d=""`, i)
	}
	return []byte(b.String() + "/>")
}

// TestSealedPSKCRefuses: what is encrypted opens with the right key and
// unchanged, or not at all.
func TestSealedPSKCRefuses(t *testing.T) {
	const (
		six, seven = "rfc6030-figure6.xml", "rfc6030-figure7.xml"
		wrong      = "ffffffffffffffffffffffffffffffff"
		secretMAC  = "Su+NvtQfmvfJzF6bmQiJqoLRExc="
		macMethod  = `<MACMethod Algorithm="http://www.w3.org/2000/09/xmldsig#hmac-sha1">`
	)
	change := func(file string, changes ...[2]string) []byte { return read(t, file, append(changes, asTOTP)...) }
	value := string(read(t, six))
	value = value[strings.Index(value, "<EncryptedValue>"):strings.Index(value, "</ValueMAC>")] + "</ValueMAC>"
	for _, tt := range []struct {
		name string
		file []byte
		key  string
		want []string
	}{
		{"no key", change(six), "", []string{"0 key missing"}},
		{"a key for a file in clear", []byte(plain), figure6Key, []string{"0 key unneeded"}},
		{"another key", change(six), wrong, []string{"42 seed mac"}},
		{"another passphrase", change(seven), "qwertz", []string{"58 seed mac"}},
		{"a long key", change(six), figure6Key + figure6Key, []string{"0 key size"}},
		{"no key at all", change(six), "合言葉", []string{"0 key size"}},

		// One bit each, of the vector, of the MAC, and of the MAC's key.
		{"a changed vector", change(six, [2]string{"AAECAwQF", "AQECAwQF"}), figure6Key, []string{"42 seed mac"}},
		{"a changed block", change(six, [2]string{"wZqIUqGv", "wZqIUqGu"}), figure6Key, []string{"42 seed mac"}},
		{"a changed MAC", change(six, [2]string{secretMAC, "Ou+NvtQfmvfJzF6bmQiJqoLRExc="}), figure6Key, []string{"42 seed mac"}},
		{"a short MAC", change(six, [2]string{secretMAC, "Su+NvtQfmvfJzF6bmQiJqg=="}), figure6Key, []string{"42 seed mac"}},
		{"a changed MAC key", change(six, [2]string{"ESIzRFVm", "ECIzRFVm"}), figure6Key, []string{"42 seed mac"}},
		{"a MAC key with broken padding", change(six, [2]string{"rR7I5wSX", "rR7I5wSY"}), figure6Key, []string{"42 seed mac"}},
		{"a MAC key of one block", change(six, [2]string{"ESIzRFVmd4iZABEiM0RVZgKn6WjLaTC1sbeBMSvIhRejN9vJa2BOlSaMrR7I5wSX",
			"ESIzRFVmd4iZABEiM0RVZgKn6WjLaTC1sbeBMSvIhRc="}), figure6Key, []string{"42 seed mac"}},
		{"blocks cut off", change(six, [2]string{"AAECAwQFBgcICQoLDA0OD+cIHItlB3Wra1DUpxVvOx2lef1VmNPCMl8jwZqIUqGv", "AAECAwQFBgcICQoLDA0ODw=="}), figure6Key, []string{"42 seed mac"}},

		// The ways around the MAC.
		{"no MAC", change(six, [2]string{"<ValueMAC>" + secretMAC + "</ValueMAC>", ""}), figure6Key, []string{"33 seed sealed"}},
		{"an empty MAC", change(six, [2]string{secretMAC, ""}), figure6Key, []string{"42 seed base64"}},
		{"a MAC twice", change(six, [2]string{"</ValueMAC>", "</ValueMAC><ValueMAC>AAAA</ValueMAC>"}), figure6Key, []string{"33 seed sealed", "42 ValueMAC duplicate"}},
		{"in clear among the encrypted", change(six, [2]string{value, "<PlainValue>MTIzNDU2Nzg5MDEyMzQ1Njc4OTA=</PlainValue>"}), figure6Key, []string{"33 seed sealed"}},
		{"in clear beside the encrypted", change(six, [2]string{"<Secret>", "<Secret><PlainValue>MTIzNDU2Nzg5MDEyMzQ1Njc4OTA=</PlainValue>"}), figure6Key, []string{"33 seed sealed"}},
		{"encrypted without a key of the container", change(six, [2]string{"<EncryptionKey>", "<Other>"}, [2]string{"</EncryptionKey>", "</Other>"}), "", []string{"33 seed no_key"}},
		{"no MAC method", change(six, [2]string{"MACMethod", "Other"}), figure6Key, []string{"6 MACMethod missing"}},
		{"no MAC key", change(six, [2]string{"MACKey", "Other"}), figure6Key, []string{"6 MACMethod missing"}},
		{"another MAC", change(six, [2]string{macMethod, strings.Replace(macMethod, "sha1", "md5", 1)}), figure6Key, []string{"9 MACMethod unsupported"}},
		{"another cipher", change(six, [2]string{"aes128-cbc", "tripledes-cbc"}), figure6Key, []string{"10 MACKey unsupported"}},
		{"no cipher", change(six, [2]string{`<xenc:EncryptionMethod Algorithm="http://www.w3.org/2001/04/xmlenc#aes128-cbc"/>`, ""}), figure6Key, []string{"10 MACKey unsupported"}},
		{"no data", change(six, [2]string{"CipherData", "Other"}), figure6Key, []string{"10 MACKey base64"}},
		{"a certificate", change(six, [2]string{"ds:KeyName", "ds:X509Data"}), figure6Key, []string{"7 EncryptionKey unsupported"}},
		{"a period that is not the one sealed", read(t, "aes256.xml", [2]string{"yQfyLOWU", "yQfyLOWV"}), aes256Key, []string{"44 period mac"}},

		{"another derivation", change(seven, [2]string{"pkcs-5v2-0#pbkdf2", "pkcs-5v2-0#pbkdf1"}), figure7Key, []string{"9 EncryptionKey unsupported"}},
		{"no parameters", change(seven, [2]string{"PBKDF2-params", "Other"}), figure7Key, []string{"10 EncryptionKey unsupported"}},
		{"no salt", change(seven, [2]string{"Specified", "OtherSource"}), figure7Key, []string{"10 EncryptionKey unsupported"}},
		{"a bad salt", change(seven, [2]string{"Ej7/PEpyEpw=", "*"}), figure7Key, []string{"10 EncryptionKey unsupported"}},
		{"two salts", change(seven, [2]string{"<KeyLength>", "<Salt/><KeyLength>"}), figure7Key, []string{"15 EncryptionKey unsupported"}},
		{"no iteration", change(seven, [2]string{">1000<", ">0<"}), figure7Key, []string{"10 EncryptionKey unsupported"}},
		{"iterations without end", change(seven, [2]string{">1000<", ">2000001<"}), figure7Key, []string{"10 EncryptionKey unsupported"}},
		{"another key length", change(seven, [2]string{">16<", ">17<"}), figure7Key, []string{"10 EncryptionKey unsupported"}},
		{"a key longer than the cipher's", change(seven, [2]string{">16<", ">32<"}), figure7Key, []string{"0 key size"}},
		{"another PRF", change(seven, [2]string{"<PRF/>", `<PRF Algorithm="urn:x"/>`}), figure7Key, []string{"16 EncryptionKey unsupported"}},
		{"no method", change(seven, [2]string{"xenc11:KeyDerivationMethod", "xenc11:Other"}), figure7Key, []string{"8 EncryptionKey unsupported"}},
		{"a name beside it that is none", change(seven, [2]string{"</pskc:EncryptionKey>", "<pskc:Other/></pskc:EncryptionKey>"}), figure7Key, []string{"24 EncryptionKey unsupported"}},
	} {
		t.Run(tt.name, func(t *testing.T) { refused(t, tt.file, tt.key, tt.want) })
	}
	// The key that was typed must not show.
	_, err := oath.ParsePSKC(change(six), key("canary canary canary"))
	if err == nil || strings.Contains(err.Error(), "canary") {
		t.Errorf("the key shows: %v", err)
	}
}

// TestNoEmptyMACKey: whoever changes a file has no key, but can try blocks for the
// MAC's key until one ends in a padding of sixteen. What is left is an empty key,
// and with that anybody makes MACs.
func TestNoEmptyMACKey(t *testing.T) {
	const (
		macKey = "ESIzRFVmd4iZABEiM0RVZgKn6WjLaTC1sbeBMSvIhRejN9vJa2BOlSaMrR7I5wSX"
		value  = "AAECAwQFBgcICQoLDA0OD+cIHItlB3Wra1DUpxVvOx2lef1VmNPCMl8jwZqIUqGv"
		mac    = "Su+NvtQfmvfJzF6bmQiJqoLRExc="
	)
	// sealed is a file whose MAC key is this one, and whose MAC fits it.
	sealed := func(key []byte) []byte {
		raw, err := hex.DecodeString(figure6Key)
		if err != nil {
			t.Fatal(err)
		}
		block, err := aes.NewCipher(raw)
		if err != nil {
			t.Fatal(err)
		}
		padding := aes.BlockSize - len(key)%aes.BlockSize
		padded := append(slices.Clone(key), bytes.Repeat([]byte{byte(padding)}, padding)...)
		vector := make([]byte, aes.BlockSize)
		cipher.NewCBCEncrypter(block, vector).CryptBlocks(padded, padded)
		box, err := base64.StdEncoding.DecodeString(value)
		if err != nil {
			t.Fatal(err)
		}
		sum := hmac.New(sha1.New, key)
		sum.Write(box)
		encode := base64.StdEncoding.EncodeToString
		return read(t, "rfc6030-figure6.xml", asTOTP, [2]string{macKey, encode(append(vector, padded...))}, [2]string{mac, encode(sum.Sum(nil))})
	}
	if _, err := oath.ParsePSKC(sealed(bytes.Repeat([]byte("k"), 16)), key(figure6Key)); err != nil {
		t.Fatal("a MAC key of 16 bytes:", err)
	}
	refused(t, sealed(bytes.Repeat([]byte("k"), 15)), figure6Key, []string{"42 seed mac"})
	refused(t, sealed(nil), figure6Key, []string{"42 seed mac"})
}

// FuzzParsePSKC: whatever a stranger sends, with whatever key, the answer is
// good seeds or faults.
func FuzzParsePSKC(f *testing.F) {
	f.Add([]byte(plain), "")
	f.Add(read(f, "rfc6030-figure6.xml", asTOTP), figure6Key)
	f.Add(read(f, "rfc6030-figure7.xml", asTOTP), figure7Key)
	f.Add(read(f, "aes256.xml"), aes256Key)
	f.Add(read(f, "passphrase.xml"), "合言葉は山")
	f.Add([]byte(`<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>`), "")
	f.Fuzz(func(t *testing.T, file []byte, with string) {
		// Ten thousand tries have no time for two million iterations.
		if n := bytes.Index(file, []byte("IterationCount>")); n >= 0 && !bytes.HasPrefix(file[n:], []byte("IterationCount>1000<")) &&
			!bytes.HasPrefix(file[n:], []byte("IterationCount>2000<")) {
			return
		}
		seeds, err := oath.ParsePSKC(file, key(with))
		sound(t, seeds, err)
	})
}
