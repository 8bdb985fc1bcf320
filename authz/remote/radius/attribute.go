package radius

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	wire "layeh.com/radius"
	"layeh.com/radius/rfc2865"
	"layeh.com/radius/rfc2868"
	"layeh.com/radius/rfc2869"
)

// An Attribute goes into each Access-Accept of a client.
type Attribute struct {
	typ   wire.Type
	value []byte
}

// named are the attributes that may be written by name; others by number.
var named = map[string]wire.Type{
	"Service-Type": rfc2865.ServiceType_Type, "Framed-Protocol": rfc2865.FramedProtocol_Type, "Filter-Id": rfc2865.FilterID_Type,
	"Framed-MTU": rfc2865.FramedMTU_Type, "Idle-Timeout": rfc2865.IdleTimeout_Type, "Acct-Interim-Interval": rfc2869.AcctInterimInterval_Type,
	"Framed-Pool": rfc2869.FramedPool_Type, "Tunnel-Type": rfc2868.TunnelType_Type, "Tunnel-Medium-Type": rfc2868.TunnelMediumType_Type,
	"Tunnel-Private-Group-Id": rfc2868.TunnelPrivateGroupID_Type,
}

// numbers are those of them whose values are numbers.
var numbers = []wire.Type{
	rfc2865.ServiceType_Type, rfc2865.FramedProtocol_Type, rfc2865.FramedMTU_Type, rfc2865.IdleTimeout_Type, rfc2869.AcctInterimInterval_Type,
	rfc2868.TunnelType_Type, rfc2868.TunnelMediumType_Type,
}

// ours are set by the door itself, or mean nothing in an Access-Accept.
var ours = []wire.Type{
	rfc2865.UserName_Type, rfc2865.UserPassword_Type, rfc2865.CHAPPassword_Type, rfc2865.ReplyMessage_Type, rfc2865.State_Type,
	rfc2865.Class_Type, rfc2865.SessionTimeout_Type, rfc2865.TerminationAction_Type, rfc2865.ProxyState_Type,
	rfc2869.EAPMessage_Type, rfc2869.MessageAuthenticator_Type,
}

// ParseAttribute reads "Filter-Id=staff", "11=staff" or, of a vendor, number and type
// with 26 before them: "26.12356.1=vpn-users". The value is text, #n for a number of
// 32 bits, or 0x and hexadecimal digits for bytes.
func ParseAttribute(s string) (Attribute, error) {
	name, value, ok := strings.Cut(s, "=")
	if name = strings.TrimSpace(name); !ok || value == "" {
		return Attribute{}, errors.New("it is not name=value")
	}
	typ, known := named[name]
	var vendor uint64
	if !known {
		parts := strings.Split(name, ".")
		n, err := strconv.ParseUint(parts[0], 10, 8)
		if err != nil || n == 0 {
			return Attribute{}, fmt.Errorf("the attribute %q is not known; write its number", name)
		}
		typ = wire.Type(n)
		if typ == rfc2865.VendorSpecific_Type {
			if len(parts) != 3 {
				return Attribute{}, errors.New("a vendor's attribute is 26.VENDOR.TYPE")
			}
			v, bad := strconv.ParseUint(parts[1], 10, 24)
			t, worse := strconv.ParseUint(parts[2], 10, 8)
			if bad != nil || worse != nil || v == 0 || t == 0 {
				return Attribute{}, errors.New("a vendor's attribute is 26.VENDOR.TYPE")
			}
			vendor, parts = v<<8|t, parts[:1]
		}
		if len(parts) != 1 {
			return Attribute{}, fmt.Errorf("the attribute %q is not known; write its number", name)
		}
	}
	if slices.Contains(ours, typ) {
		return Attribute{}, fmt.Errorf("the attribute %q is the gate's own to set", name)
	}
	b, err := valueOf(value, slices.Contains(numbers, typ))
	if err != nil {
		return Attribute{}, err
	}
	if vendor != 0 {
		head := binary.BigEndian.AppendUint32(nil, uint32(vendor>>8))
		b = append(append(head, byte(vendor), byte(2+len(b))), b...)
	}
	if len(b) > longest {
		return Attribute{}, fmt.Errorf("its value is longer than %d bytes", longest)
	}
	return Attribute{typ, b}, nil
}

func valueOf(s string, plain bool) ([]byte, error) {
	digits, number := strings.CutPrefix(s, "#")
	switch {
	case number || plain:
		n, err := strconv.ParseUint(digits, 10, 32)
		if err != nil {
			return nil, fmt.Errorf("%q is no number of 32 bits", s)
		}
		return binary.BigEndian.AppendUint32(nil, uint32(n)), nil
	case strings.HasPrefix(s, "0x"):
		b, err := hex.DecodeString(s[2:])
		if err != nil || len(b) == 0 {
			return nil, fmt.Errorf("%q is not hexadecimal", s)
		}
		return b, nil
	}
	return []byte(s), nil
}

// sets reports whether a type is among attributes.
func sets(all []Attribute, t wire.Type) bool {
	return slices.ContainsFunc(all, func(a Attribute) bool { return a.typ == t })
}
